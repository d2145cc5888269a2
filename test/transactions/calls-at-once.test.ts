import { expect, test } from 'vitest'
import { isConcurrencyError } from '../../src/index.js'
import { CALLS, type Client, clientOf, type Tx } from '../support/calls-on-tx.js'
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
const KINDS = Object.keys(TRANSACTIONS)
const ALL = Object.entries(CALLS).flatMap(([method, calls]) => calls.map((call) => ({ method, call })))
const PAIRS = ALL.flatMap((first, i) =>
  ALL.map((second, j) => ({ first, second, name: `${nameOf(first)}, ${nameOf(second)}`, i, j })),
)

function nameOf({ method, call }: (typeof ALL)[number]): string {
  return `${method} ${call.name}`
}

async function inTransaction(kind: string, db: Client, body: (tx: Tx) => Promise<void>): Promise<string> {
  const run = TRANSACTIONS[kind] as (typeof TRANSACTIONS)[string]
  return run(db, body).then(
    () => 'committed',
    () => 'thrown',
  )
}

/** Of each pair of methods, the calls that were refused since the other one was there. */
const table = new Map<string, Set<string>>()

function note(methods: string, refusals: readonly boolean[]): void {
  const names = ['1st', '2nd'].filter((_, i) => refusals[i]).join(' and ')
  table.set(methods, (table.get(methods) ?? new Set()).add(names || '✓'))
}

const PAGE = [
  '<!-- Written by test/transactions/calls-at-once.test.ts: npx vitest run test/transactions/calls-at-once.test.ts -u -->',
  '',
  '# Pairs of calls at once on one `tx`',
  '',
  'Each pair of calls is made at once (`Promise.all`) on the `tx` of seven kinds of transactions, at READ COMMITTED and at',
  'SERIALIZABLE, in both orders, several calls of each method, also such as are refused.',
  '',
  '- ✓: both calls have the answer that they have alone: the right one, or the typed error of their own refusal, and the',
  '  tables say the same.',
  '- 1st, 2nd: this call is refused with a `TransactionScopeError`, before any SQL, and the other has its own answer. One of',
  '  the two has a nested body, which would undo the other call if it failed: await one of them first, or use the client',
  '  that the nested body is given.',
  "- –: both are Prisma's own, and do as in Prisma alone: a call beside a nested `$transaction` is undone with it if that",
  '  fails.',
  '',
  'Whatever is refused, if the body throws it, nothing of the transaction is committed.',
  '',
]

/** Neither is of this package: a call of Prisma's beside a nested `$transaction` of Prisma's is undone with it. */
const isPrismas = (first: string, second: string) =>
  [first, second].includes("Prisma's own") && [first, second].includes('$transaction')

test.each(PAIRS.filter(({ first, second }) => !isPrismas(first.method, second.method)))(
  'told is what was written: $name',
  async ({ first, second, i, j }) => {
    const db = (shared ??= clientOf(database.connect()))
    const both = [first, second]
    const calls = await Promise.all(both.map(({ call }) => call.prepare(db, query)))
    const kind = KINDS[(i + 3 * j) % KINDS.length] as string
    let outcomes: PromiseSettledResult<unknown>[] = []

    const ended = await inTransaction(kind, db, async (tx) => {
      outcomes = await Promise.allSettled(calls.map(({ begin }) => begin(tx)))
    })

    const isOutOfScope = outcomes.map(
      (told) => told.status === 'rejected' && isConcurrencyError(told.reason, 'TRANSACTION_SCOPE'),
    )
    const expected = both.map(({ call }, n) => {
      const isRefused = call.isRefused || isOutOfScope[n] || (call.isLock && kind.includes('SERIALIZABLE'))
      return isRefused ? 'rejected' : 'fulfilled'
    })
    const written = await Promise.all(
      calls.map(async ({ isWritten }, n) => (await isWritten?.(query)) ?? outcomes[n]?.status === 'fulfilled'),
    )
    note(`${first.method} ${second.method}`, isOutOfScope)
    expect({ kind, ended, told: outcomes.map(({ status }) => status) }).toEqual({
      kind,
      ended: 'committed',
      told: expected,
    })
    expect(written).toEqual(expected.map((told) => told === 'fulfilled'))
  },
)

/** Each pair in one of its two orders. */
const inOneOrder = ({ i, j }: { readonly i: number; readonly j: number }) => ((i + j) % 2 === 0 ? i <= j : i >= j)

test.each(PAIRS.filter((pair) => inOneOrder(pair) && (pair.first.call.isRefused || pair.second.call.isRefused)))(
  'a body that throws a refusal leaves nothing behind: $name',
  async ({ first, second, i, j }) => {
    const db = (shared ??= clientOf(database.connect()))
    const calls = await Promise.all([first, second].map(({ call }) => call.prepare(db, query)))
    const kind = KINDS[(2 * i + j) % KINDS.length] as string
    const customer = crypto.randomUUID()

    const ended = await inTransaction(kind, db, async (tx) => {
      await tx.order.create({ data: { customer } })
      await Promise.all(calls.map(({ begin }) => begin(tx)))
    })

    const written = await Promise.all(calls.map(async ({ isWritten }) => (await isWritten?.(query)) ?? false))
    const orders = await query('SELECT FROM "Order" WHERE customer = $1', [customer])
    expect({ kind, ended, written, orders }).toEqual({ kind, ended: 'thrown', written: [false, false], orders: [] })
  },
)

test('the table in the docs is that of these pairs', async ({ skip }) => {
  const methods = Object.keys(CALLS)
  if (table.size < methods.length ** 2 - 2) skip('The pairs were not all run.')
  for (const [first, second] of methods.flatMap((first) => methods.map((second) => [first, second] as const))) {
    if (isPrismas(first, second)) table.set(`${first} ${second}`, new Set(['–']))
  }
  const cell = (first: string, second: string) => Array.from(table.get(`${first} ${second}`) ?? []).join(' or ')
  const name = (method: string) => (method.includes(' ') ? method : `\`${method}\``)
  const rows = [
    ['first \\ second', ...methods.map(name)],
    methods.map(() => '---').concat('---'),
    ...methods.map((first) => [name(first), ...methods.map((second) => cell(first, second))]),
  ]
  const page = [...PAGE, ...rows.map((row) => `| ${row.join(' | ')} |`), ''].join('\n')

  await expect(page).toMatchFileSnapshot('../../docs/calls-at-once.md')
})
