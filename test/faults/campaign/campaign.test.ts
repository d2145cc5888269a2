import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describe, openCampaign } from './campaign.js'
import { summary } from './summary.js'

// The tests run the same rounds each time: one with a synchronous standby, whose third worker is behind PgBouncer, one of
// a server alone, and one with an asynchronous standby. The script asks for more.
const FIRST = Number(process.env.FAULTS_SEED ?? 11)
const SECONDS = Number(process.env.FAULTS_SECONDS ?? 0)
const LEAST_ROUNDS = process.env.FAULTS_SECONDS === undefined ? 3 : 1
/** Ends when so many calls are made, if that is sooner. */
const CALLS = Number(process.env.FAULTS_CALLS ?? Number.POSITIVE_INFINITY)
/** Of each round, in ms: long enough for some faults to come together. */
const ROUND = Number(process.env.FAULTS_ROUND ?? 15) * 1_000

let campaign: Awaited<ReturnType<typeof openCampaign>>
beforeAll(async () => {
  campaign = await openCampaign()
})
afterAll(() => campaign?.close())

test('whatever fails, what is told is what is in the tables', { timeout: SECONDS * 1_000 + 400_000 }, async () => {
  const rounds = []
  let violations = ''
  let calls = 0
  const begin = performance.now()
  const isOver = () => rounds.length >= LEAST_ROUNDS && (calls >= CALLS || performance.now() - begin >= SECONDS * 1_000)
  for (let seed = FIRST; !isOver() && violations === ''; seed++) {
    const round = await campaign.round({ seed, duration: ROUND })
    rounds.push(round)
    calls += round.calls
    violations = describe(round, round.violations)
    console.log(JSON.stringify(summary([round])))
  }
  const result = process.env.FAULTS_RESULT
  const figures = { seconds: Math.round((performance.now() - begin) / 1_000), ...summary(rounds) }
  if (result) await writeFile(result, `${JSON.stringify(figures, undefined, 2)}\n`)
  if (violations) console.log(`The logs are in ${campaign.folder}`)

  expect(violations).toBe('')
})
