import { isConcurrencyError } from '../../../src/index.js'
import type { Chance } from '../../support/fuzz/chance.js'
import { type Db, rows, type Tx } from './connect.js'
import { type Kind, key, num, ours, withoutDeadline } from './kind.js'
import * as sizes from './sizes.js'

/** Calls of the third ledger, which looks at itself, and whose periods are closed and pruned while others move it. */
export const LEDGER_KINDS: readonly Kind[] = [
  ours('book', 6, key, async ({ db }, _, [n]) => {
    const { item, quantity, date } = sizes.bookingOf(num(n))
    return [(await db.$ledger.move({ transactionId: `book ${n}`, item, quantity, date })).replayed]
  }),
  ours('pair', 3, key, async ({ db }, _, [n]) => {
    const { item, other, quantity, date } = sizes.bookingOf(num(n))
    const lines = [
      { item, quantity },
      { item: other, quantity: item === other ? quantity : -quantity },
    ]
    return [(await db.$ledger.moveAll({ transactionId: `pair ${n}`, lines, date })).replayed]
  }),
  ours('post', 3, key, async ({ db }, _, [n]) => {
    const { item, quantity, date } = sizes.bookingOf(num(n))
    const posted = { transactionId: `post ${n}`, item, quantity: Math.abs(quantity), date }
    return [(await db.$ledger.defer(posted)).replayed]
  }),
  ours(
    'amend',
    3,
    (chance, second) => [...key(chance, second), chance.below(2)],
    async ({ db }, _, [n, which]) => {
      // One of the two is of a later day, so it is there when the booking is pruned.
      const day = sizes.dayAt(Math.floor(num(n) / sizes.KEYS.perSecond) + 3 * num(which))
      const { date } = sizes.bookingOf(num(n))
      const amended = { transactionId: `amend ${n} ${which}`, of: `book ${n}`, date: date && day }
      return [(await db.$ledger.reverse(amended)).replayed]
    },
  ),
  withoutDeadline('fold', async ({ db }) => {
    await db.$ledger.project({ batchSize: 20 })
  }),
  withoutDeadline('close', ({ db }, _, [day]) => db.$ledger.close({ until: sizes.dayAt(num(day)) }), daysAgo(1)),
  withoutDeadline(
    'prune',
    ({ db }, _, [day]) => db.$ledger.prune({ forgetBefore: sizes.dayAt(num(day)), batchSize: 7 }),
    daysAgo(2),
  ),
  withoutDeadline('audit ledger', ({ db }) => db.$ledger.audit()),
  ours('ask', 1, key, async ({ db }, _, [n]) => {
    const { movements } = await db.$ledger.statement({ transactionId: `book ${n}` })
    return movements.length
  }),
  ours('look', 1, account, ({ db }, _, [item]) =>
    db.$transactionWithRetry((tx) => look(tx, String(item)), { isolationLevel: 'RepeatableRead' }),
  ),
  withoutDeadline(
    'walk',
    async ({ db }, _, [item]) => [...(await walk(db, String(item), 'asc')), ...(await walk(db, String(item), 'desc'))],
    account,
  ),
]

function account(chance: Chance): string[] {
  return [sizes.accountAt(chance.below(sizes.ACCOUNTS_OF_LEDGER.count))]
}

function daysAgo(least: number): Kind['facts'] {
  return (chance, second) => [second - least - chance.below(3)]
}

type Entries = Awaited<ReturnType<Db['$ledger']['history']>>

/** The flaws of looks that are of one moment. */
export async function look(tx: Tx, item: string): Promise<string[]> {
  const entries = await entriesOf(tx, item, 'asc').catch(refusal)
  if (typeof entries === 'string') return [`of one moment, its pages do not fit together: ${entries}`]
  const { onHand, deferred } = await tx.$ledger.balance({ item })
  const balanceAt = (at: Date) => tx.$ledger.balanceAt({ item, at }).catch(refusal)
  const later = await balanceAt(new Date(Date.now() + 3_600_000))
  const [row] = await rows(
    tx,
    `SELECT opening, (SELECT coalesce(sum(quantity), 0)::int FROM "ArchiveMovement" WHERE code = $1 AND NOT applied) AS deferred
FROM "ArchiveStock" WHERE code = $1`,
    item,
  )
  const opening = Number(row?.opening)
  const [first, last] = [entries[0], entries.at(-1)]
  const before = first ? first.balance - first.quantity : onHand
  const middle = entries[entries.length >> 1]
  const then = middle && entries.findLast(({ at }) => at <= middle.at)
  const flaws = [
    ...flawsOf(entries),
    before !== opening && `it begins with ${before}, and its opening balance is ${opening}`,
    last && last.balance !== onHand && `it ends with ${last.balance}, and ${onHand} are on hand`,
    later !== onHand && `the balance of later is ${later}, and ${onHand} are on hand`,
    deferred !== Number(row?.deferred) && `${deferred} are told to be deferred, and ${row?.deferred} are`,
    middle &&
      (await balanceAt(middle.at)) !== then?.balance &&
      `the balance of ${middle.at.toISOString()} is not ${then?.balance}`,
  ]
  return flaws.filter((flaw) => typeof flaw === 'string')
}

/** A refusal as an answer; other errors are none. */
function refusal(error: unknown): string {
  if (isConcurrencyError(error, 'INVALID_ARGUMENT')) return error.message
  throw error
}

/** The flaws of the pages of a history that is written and pruned between them. */
async function walk(db: Tx, item: string, order: 'asc' | 'desc'): Promise<string[]> {
  try {
    return flawsOf(await entriesOf(db, item, order))
  } catch (error) {
    // The entries behind the last page were pruned.
    if (isConcurrencyError(error, 'INVALID_ARGUMENT') && error.field === 'after' && order === 'asc') return []
    throw error
  }
}

async function entriesOf(db: Tx, item: string, order: 'asc' | 'desc'): Promise<Entries> {
  const entries: Entries[number][] = []
  for (let isWhole = false; !isWhole; ) {
    const page = await db.$ledger.history({ item, order, limit: 25, after: entries.at(-1) })
    entries.push(...page)
    isWhole = page.length === 0
  }
  return order === 'asc' ? entries : entries.reverse()
}

/** Each number follows the one before it, and each balance that of the movement before it. */
function flawsOf(entries: Entries): string[] {
  return entries.flatMap(({ sequence, balance, quantity, at }, i) => {
    const before = entries[i - 1]
    if (!before) return []
    const isNext = sequence === before.sequence + 1 && balance === before.balance + quantity && at >= before.at
    return isNext ? [] : [`number ${sequence} with ${balance} follows number ${before.sequence} with ${before.balance}`]
  })
}
