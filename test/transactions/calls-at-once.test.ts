import { describe, expect, test } from 'vitest'
import { CALLS, type Call, type Client, clientOf, type Tx } from '../support/calls-on-tx.js'
import { useDatabase } from '../support/clients.js'

const database = useDatabase()
const query = (sql: string, values?: unknown[]) => database.query(sql, values)

/** Every way to get a `tx`. */
const TRANSACTIONS: Record<string, <R>(db: Client, body: (tx: Tx) => Promise<R>) => Promise<R>> = {
  $transaction: (db, body) => db.$transaction(body),
  'a SERIALIZABLE $transaction': (db, body) => db.$transaction(body, { isolationLevel: 'Serializable' }),
  'a nested $transaction': (db, body) => db.$transaction((tx) => tx.$transaction(body as never)) as never,
  $transactionWithRetry: (db, body) => db.$transactionWithRetry(body as never) as never,
  'a $transactionWithRetry in a $transaction': (db, body) =>
    db.$transaction((tx) => tx.$transactionWithRetry(body as never)) as never,
  $withAdvisoryLock: (db, body) => db.$withAdvisoryLock(crypto.randomUUID(), body as never) as never,
  $idempotent: async (db, body) =>
    (
      await db.$idempotent({ key: crypto.randomUUID(), scope: 'at once' }, async (tx) => {
        await body(tx as never)
      })
    ).result as never,
}
let shared: Client | undefined
const NAMES = Object.keys(TRANSACTIONS)

/** The calls made at once whose answer differs from the data written, by their names. */
async function differences(calls: readonly Call[], outcomes: readonly PromiseSettledResult<unknown>[]) {
  const lines = await Promise.all(
    calls.map(async ({ name, isWritten }, i) => {
      const told = outcomes[i]?.status
      const written = (await isWritten(query)) ? 'fulfilled' : 'rejected'
      const isReadOnly = isWritten.length === 0 && !name.startsWith('$series')
      return isReadOnly || told === written ? [] : [`${name}: told ${told}, in the database ${written}`]
    }),
  )
  return lines.flat()
}

describe.each(CALLS.map((make, i) => [i, make] as const))('call %i', (i, make) => {
  test.each(CALLS.map((other, j) => [j, other] as const))(
    'told is what was written, when it is made at once with call %i',
    async (j, makeOther) => {
      const db = (shared ??= clientOf(database.connect()))
      const calls = await Promise.all([make(db, query), makeOther(db, query)])
      const kind = NAMES[(i + 3 * j) % NAMES.length] as string
      let outcomes: PromiseSettledResult<unknown>[] = []

      const ended = await (TRANSACTIONS[kind] as (typeof TRANSACTIONS)[string])(db, async (tx) => {
        outcomes = await Promise.allSettled(calls.map(({ begin }) => begin(tx)))
      }).then(
        () => 'committed',
        (error: Error) => error,
      )

      expect({ kind, ended, differences: await differences(calls, outcomes) }).toEqual({
        kind,
        ended: 'committed',
        differences: [],
      })
    },
  )
})

describe.each(CALLS.map((make, i) => [i, make] as const))('a body with call %i', (i, make) => {
  test.each(CALLS.map((other, j) => [j, other] as const))(
    'that throws what call %i or it was refused for leaves nothing behind',
    async (j, makeOther) => {
      const db = (shared ??= clientOf(database.connect()))
      const calls = await Promise.all([make(db, query), makeOther(db, query)])
      if (!calls.some(({ isRefused }) => isRefused)) return
      const kind = NAMES[(2 * i + j) % NAMES.length] as string
      const customer = crypto.randomUUID()

      const ended = await (TRANSACTIONS[kind] as (typeof TRANSACTIONS)[string])(db, async (tx) => {
        await tx.order.create({ data: { customer } })
        await Promise.all(calls.map(({ begin }) => begin(tx)))
      }).then(
        () => 'committed',
        () => 'thrown',
      )

      const written = await Promise.all(calls.map(({ isWritten }) => isWritten.length > 0 && isWritten(query)))
      const orders = await query('SELECT FROM "Order" WHERE customer = $1', [customer])
      expect({ kind, ended, written, orders }).toEqual({ kind, ended: 'thrown', written: [false, false], orders: [] })
    },
  )
})
