import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { Rounds } from '../support/fuzz/rounds.js'
import { watchUnhandled } from '../support/unhandled.js'

// The tests run the same rounds each time, so that they judge a change and not chance. The script asks for more.
const FIRST = Number(process.env.FUZZ_SEED ?? 20261129)
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 500)
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 60)

const database = useDatabase()

test('distorted calls are refused by a typed error before any SQL, or are right; nobody else notices', {
  timeout: SECONDS * 1_000 + 120_000,
}, async () => {
  const unhandled = watchUnhandled()
  const pool = new pg.Pool({ connectionString: database.url, max: 2 })
  onTestFinished(() => pool.end())
  const query = async (sql: string, values?: unknown[]) => (await pool.query(sql, values)).rows
  // Ids that a distorted call may hit by chance belong to nobody.
  await query(`INSERT INTO "Product" (name, "updatedAt") SELECT 'nobody', now() FROM generate_series(1, 20)`)
  await query(`INSERT INTO "every thing" ("the code") SELECT 'nobody ' || n FROM generate_series(1, 20) AS n`)
  const rounds = new Rounds(database.connect(), query)
  console.log(`FUZZ_SEED=${FIRST}, ${ROUNDS} rounds, or ${SECONDS} s`)

  const end = performance.now() + SECONDS * 1_000
  let seed = FIRST
  while (seed < FIRST + ROUNDS && performance.now() < end && rounds.findings.length < 20) await rounds.run(seed++)
  console.log(`${seed - FIRST} rounds`)

  expect(rounds.findings.join('\n\n')).toBe('')
  expect(await unhandled.collected()).toEqual([])
})
