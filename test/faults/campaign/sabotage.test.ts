import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleWorker } from './bundle.js'
import { openCampaign } from './campaign.js'
import type { EngineName } from './connect.js'
import { TRIALS } from './sabotages.js'

const MOST_ROUNDS = 20

let campaign: Awaited<ReturnType<typeof openCampaign>>
beforeAll(async () => {
  campaign = await openCampaign()
})
afterAll(() => campaign?.close())

test.each(TRIALS)('the campaign finds out a build with $name', { timeout: 600_000 }, async (trial) => {
  const { only, every, fates, breaks, callers = 6 } = trial
  const worker = await bundleWorker(breaks)
  const engines: readonly EngineName[] = trial.isOnPg === false ? ['prisma', 'prisma', 'prisma'] : ['prisma', 'pg']
  const options = {
    only,
    every,
    fates,
    engines,
    callers,
    worker: worker.file,
    duration: 2_000,
    warmUp: 0,
    calm: 0,
    withServerFaults: false,
    ...trial.round,
  }
  let violations = ''
  const hidden = () => breaks.filter(({ found }) => !found.test(violations)).map(({ name }) => name)
  // Most are found out in the first round; the others need a fault at the right moment, or a machine that is not busy.
  for (let seed = 1; seed <= MOST_ROUNDS && hidden().length > 0; seed++) {
    const round = await campaign.round({ ...options, seed })
    violations += round.violations.map(({ what }) => `${what}\n`).join('')
  }
  await worker.remove()

  expect({ hidden: hidden(), ...(hidden().length > 0 && { violations }) }).toEqual({ hidden: [] })
})
