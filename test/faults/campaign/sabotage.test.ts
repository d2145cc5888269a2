import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleWorker } from './bundle.js'
import { openCampaign } from './campaign.js'
import type { EngineName } from './connect.js'
import { SABOTAGES } from './sabotages.js'

const MOST_ROUNDS = 8

let campaign: Awaited<ReturnType<typeof openCampaign>>
beforeAll(async () => {
  campaign = await openCampaign()
})
afterAll(() => campaign?.close())

test.each(SABOTAGES)('the campaign finds out a build in which $name', { timeout: 300_000 }, async (sabotage) => {
  const { only, every, fates, found, callers = 6 } = sabotage
  const worker = await bundleWorker(sabotage)
  const engines: readonly EngineName[] = sabotage.isOnPg === false ? ['prisma', 'prisma', 'prisma'] : ['prisma', 'pg']
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
    ...sabotage.round,
  }
  const violations = []
  // Most are found out in the first round; the others need a fault at the right moment.
  for (let seed = 1; seed <= MOST_ROUNDS && violations.length === 0; seed++) {
    violations.push(...(await campaign.round({ ...options, seed })).violations)
  }
  await worker.remove()

  expect(violations.map(({ what }) => what).join('\n')).toMatch(found)
})
