import { connect, type EngineName } from './connect.js'
import { look } from './ledger-calls.js'
import { query } from './server.js'
import * as sizes from './sizes.js'
import { grouped } from './tables.js'

/** The checker takes its time, on a slow machine too. */
const PATIENT = { timeout: 60_000, retry: { deadline: 60_000 } }

/** How many statements are asked for at once. */
const AT_ONCE = 8

/** When all is over, every look shows what the tables have. */
export async function wrongLooks(engine: EngineName, url: string): Promise<string[]> {
  const { db, close } = await connect(engine, url)
  const flaws: string[] = []
  try {
    for (let place = 0; place < sizes.ACCOUNTS_OF_LEDGER.count; place++) {
      const item = sizes.accountAt(place)
      const found = await db.$transactionWithRetry((tx) => look(tx, item), {
        ...PATIENT,
        isolationLevel: 'RepeatableRead',
      })
      flaws.push(...found.map((flaw) => `the history of ${item}: ${flaw}`))
    }
    for (const wrong of await db.$ledger.audit()) flaws.push(`the audit of the ledger: ${JSON.stringify(wrong)}`)
    const closed = await query(url, DEFERRED_IN_A_CLOSED_PERIOD)
    for (const { id } of closed) flaws.push(`${id} is deferred, and its period is closed`)
    flaws.push(...(await wrongStatements(db, url)), ...(await wrongReservations(db, url)))
  } finally {
    await close()
  }
  return flaws
}

const DEFERRED_IN_A_CLOSED_PERIOD = `
SELECT m."transactionId" AS id FROM "ArchiveMovement" AS m JOIN "ArchiveStock" AS i USING (code)
WHERE NOT m.applied AND m.date <= i."closedUntil"`

type Db = Awaited<ReturnType<typeof connect>>['db']

async function wrongStatements({ $ledger }: Db, url: string): Promise<string[]> {
  const lines = await query(
    url,
    `SELECT "transactionId" AS id, line, code, quantity, CASE WHEN applied THEN 'applied' ELSE 'deferred' END AS state, reverses
FROM "ArchiveMovement" ORDER BY 1, 2`,
  )
  const ids = Array.from(grouped(lines, ({ id }) => String(id)))
  const flaws: string[] = []
  const ask = async () => {
    for (let next = ids.pop(); next; next = ids.pop()) {
      const [transactionId, wanted] = next
      const { movements } = await $ledger.statement({ transactionId })
      const found = movements.map(({ line, item, quantity, state, reverses }) => [
        line,
        item,
        quantity,
        state,
        reverses,
      ])
      const expected = wanted.map(({ line, code, quantity, state, reverses }) => [
        line,
        code,
        quantity,
        state,
        reverses,
      ])
      if (JSON.stringify(found) !== JSON.stringify(expected))
        flaws.push(`the statement of ${transactionId} is ${JSON.stringify(found)}, and not ${JSON.stringify(expected)}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, ask))
  return flaws
}

/** Page by page, the orders that are open. */
async function wrongReservations({ $orders }: Db, url: string): Promise<string[]> {
  const rows = await query(
    url,
    `SELECT "transactionId" AS id FROM "PalletReservation"
WHERE state = 'active' ORDER BY 1`,
  )
  const found: string[] = []
  for (let after: { transactionId: string; line: number } | undefined, isWhole = false; !isWhole; ) {
    const page = await $orders.reservations({ state: 'active', limit: 50, after })
    found.push(...page.map(({ transactionId }) => transactionId))
    const last = page.at(-1)
    after = last && { transactionId: last.transactionId, line: last.line }
    isWhole = last === undefined
  }
  const [expected, told] = [rows.map(({ id }) => String(id)).sort(), [...found].sort()]
  return JSON.stringify(expected) === JSON.stringify(told)
    ? []
    : [`the open orders are ${expected.length}, and ${told.length} are shown`]
}
