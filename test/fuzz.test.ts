import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { useDatabase } from './support/clients.js'
import { Rounds } from './support/fuzz/rounds.js'
import { watchUnhandled } from './support/unhandled.js'

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 8)
// One seed in the tests, so that a change is judged and not chance; the script takes another one each time.
const GIVEN = process.env.FUZZ_SEED ?? '20261129'

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
  const first = Number(GIVEN)
  console.log(`FUZZ_SEED=${first}, for ${SECONDS} s`)

  const end = performance.now() + SECONDS * 1_000
  let seed = first
  do await rounds.run(seed++)
  while (performance.now() < end && GIVEN === undefined && rounds.findings.length < 20)
  console.log(`${seed - first} rounds`)

  expect(rounds.findings.join('\n\n')).toBe('')
  expect(await unhandled.collected()).toEqual([])
})
