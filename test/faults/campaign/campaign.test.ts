import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describe, openCampaign } from './campaign.js'
import { summary } from './summary.js'

// The tests run the same rounds each time. The script asks for more.
const FIRST = Number(process.env.FAULTS_SEED ?? 7)
const SECONDS = Number(process.env.FAULTS_SECONDS ?? 100)
/** Of each round, in ms: long enough for some faults to come together. */
const ROUND = Number(process.env.FAULTS_ROUND ?? 15) * 1_000

let campaign: Awaited<ReturnType<typeof openCampaign>>
beforeAll(async () => {
  campaign = await openCampaign()
})
afterAll(() => campaign?.close())

test('whatever fails, what is told is what is in the tables', { timeout: SECONDS * 1_000 + 300_000 }, async () => {
  const rounds = []
  let violations = ''
  const end = performance.now() + SECONDS * 1_000
  for (let seed = FIRST; performance.now() < end && violations === ''; seed++) {
    const round = await campaign.round({ seed, duration: ROUND })
    rounds.push(round)
    violations = describe(round, round.violations)
    console.log(JSON.stringify(summary([round])))
  }
  const result = process.env.FAULTS_RESULT
  if (result) await writeFile(result, `${JSON.stringify(summary(rounds), undefined, 2)}\n`)
  if (violations) console.log(`The logs are in ${campaign.folder}`)

  expect(violations).toBe('')
})
