import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, sqlTypeOf, stateIn } from '../mapping/columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { inScope } from './in-scope.js'
import { givenOf, itemOfRow } from './item.js'
import type { HistoryMap, LinesMap, StockMap } from './mapping.js'
import { type Chain, chainOfSlots } from './slot-chain.js'
import { withSums } from './slot-sums.js'
import { where } from './statements.js'

/** An item whose balance, or whose reserved quantity, is not what its movements and reservations add up to. */
export interface Discrepancy {
  readonly item: unknown
  readonly balance: unknown
  readonly expected: unknown
  readonly reserved: unknown
  readonly expectedReserved: unknown
  readonly missing?: true
  readonly brokenAt?: number
  readonly brokenSlot?: number
}

/** How many items one statement compares. 100,000 take as long in ten statements as in one, in a tenth of the memory. */
const PAGE = 10_000

/** A row of a page: one that is wrong, if any is, and where the page behind this one ends. */
type PageRow = { readonly next: string[] | null } & (
  | { readonly key: null }
  | {
      readonly key: string[]
      readonly isMissing: boolean
      readonly balance: string
      readonly expected: string
      readonly reserved: string
      readonly expectedReserved: string
      readonly brokenAt?: string | null
      readonly brokenSlot?: string | null
    }
)

/** The keys behind `after`, up to `end`; without an end, all of them. Each is a list of parameters. */
interface Page {
  /** Only of this one. */
  readonly scope: Scope | undefined
  readonly after: Statement | undefined
  readonly end: Statement | undefined
}

/**
 * Page by page, in the order of the keys. Balances and movements of a page are of the same moment, also where
 * others write meanwhile: each page is one statement. An item is on one page, with all that names it, for pages
 * are cut by the values of keys; and a write changes an item and its movements at once. So what is found was
 * wrong at that moment. An item that gets another key meanwhile may be passed over, or found under both.
 */
export async function audit(session: Session, map: StockMap, scope: Scope): Promise<Discrepancy[]> {
  const found: Discrepancy[] = []
  for await (const discrepancy of discrepancies(session, map, scope)) found.push(discrepancy)
  return found
}

/** The same, each as soon as its page is read. Without a scope they are of all scopes, and the items are named with theirs. */
export async function* discrepancies(session: Session, map: StockMap, scope?: Scope): AsyncGenerator<Discrepancy> {
  const { item, quantities } = map
  const summed = withSums(map)
  await quantities.prepare(session)
  const value = (text: string) => quantities.value(quantities.parse(text))
  for (let page: Page = { scope, after: undefined, end: undefined }; ; ) {
    const rows = await session.rows<PageRow>(comparison(summed, page))
    for (const row of rows) {
      if (row.key === null) continue
      yield {
        item: scope ? itemOfRow(item, row.key).given : givenOf(row.key, item.key),
        balance: value(row.balance),
        expected: value(row.expected),
        reserved: value(row.reserved),
        expectedReserved: value(row.expectedReserved),
        ...(row.isMissing && { missing: true }),
        ...(row.brokenAt && { brokenAt: Number(row.brokenAt) }),
        ...(row.brokenSlot && { brokenSlot: Number(row.brokenSlot) }),
      }
    }
    const next = rows[0]?.next ?? undefined
    if (page.end === undefined && next === undefined) return
    const end = next && join(item.key.map((field, i) => sql`${param(next[i], sqlTypeOf(field))}`))
    page = { scope, after: page.end ?? page.after, end }
  }
}

/**
 * Compares the items of a page. Without an end it does so only if they are no more than a page; if they are, it
 * says where to cut. The FULL JOIN also finds what names an item that is not there: movements that count or
 * will count, and reservations that are active.
 */
function comparison(map: StockMap, page: Page): Statement {
  const { table, key, onHand, opening, reserved } = map.item
  const number = (field: Field | undefined) => raw(field ? `coalesce(t.${columnOf(field)}, 0)` : '0')
  const balance = number(onHand)
  const expected = sql`${number(opening)} + coalesce(s.total, 0)`
  const held = map.reservation ? number(reserved) : raw('0')
  const expectedHeld = raw('coalesce(s.held, 0)')
  const isMissing = join(key.slice(0, 1).map((field) => sql`t.${columnOf(field)} IS NULL`))
  const keys = key.map((field, i) => raw(`coalesce(t.${columnOf(field)}, s.k${i}) AS k${i}`))
  const ends = key.map((field) => raw(`t.${columnOf(field)}::text`))
  const texts = key.map((_, i) => raw(`f.k${i}::text`))
  const chain = map.history && brokenIn(map, map.history, page)
  return sql`WITH next AS MATERIALIZED (
  SELECT ARRAY[${join(ends)}] AS key
  FROM ${table} AS t${where([...isOfScope(key, 't', page.scope), isBehind(key, 't', page.end ?? page.after)])}
  ORDER BY ${columnsOf(key, 't')}
  LIMIT 1 OFFSET ${raw(String(PAGE - 1))}
)
SELECT n.key AS next, CASE WHEN f.k0 IS NOT NULL THEN ARRAY[${join(texts)}] END AS key, "isMissing",
  balance::text, expected::text, reserved::text, "expectedReserved"::text${
    chain &&
    join(
      chain.broken.map(([name]) => raw(`, "${name}"::text`)),
      '',
    )
  }
FROM (SELECT (SELECT key FROM next) AS key) AS n LEFT JOIN (
  SELECT ${join(keys)}, ${isMissing} AS "isMissing", ${balance} AS balance,
    ${expected} AS expected, ${held} AS reserved, ${expectedHeld} AS "expectedReserved"${
      chain &&
      join(
        chain.broken.map(([name, value]) => raw(`, ${value} AS "${name}"`)),
        '',
      )
    }
  FROM (
    SELECT * FROM ${table} AS t${where(conditionsOf(key, 't', page))}
  ) AS t FULL JOIN (
    SELECT ${keyNames(key)}, sum(total) AS total, sum(held) AS held
    FROM (${join(sums(map, page), ' UNION ALL ')}) AS part
    GROUP BY ${keyNames(key)}
  ) AS s ON ${keysEqual(key, 't', 's')}${chain?.joined}
  WHERE ${isMissing} OR ${balance} <> ${expected} OR ${held} <> ${expectedHeld}${chain && raw(` OR ${chain.broken[0][1]} IS NOT NULL`)}
) AS f ON true
ORDER BY ${keyNames(key, 'f.')}`
}

function brokenIn(map: StockMap, history: HistoryMap, page: Page): Chain {
  const { item, movement } = map
  if (!history.slot) return chainOf(map, history, page)
  const conditions = { rows: where(conditionsOf(item.key, 't', page)), lines: conditionsOf(movement.item, 'm', page) }
  return chainOfSlots(map, { ...history, slot: history.slot }, conditions)
}

/**
 * The first number of each item at which its history does not add up: it is missing, or there twice, or its balance is not
 * that of the movement before it and its own quantity; or it should follow the last one, for the item is further, or has another
 * balance. The beginning may be gone.
 */
function chainOf({ item, movement }: StockMap, { last, sequence, balance }: HistoryMap, page: Page): Chain {
  const [number, left] = [`m.${columnOf(sequence)}`, `m.${columnOf(balance)}`]
  const isAfter = `lag(${left}) OVER item + m.${columnOf(movement.quantity)}`
  const joined = sql` LEFT JOIN (
    SELECT ${keyNames(item.key)}, min(broken_at) AS broken_at, max(number) AS last, min(balance) FILTER (WHERE is_last) AS balance
    FROM (
      SELECT ${columnsAsKeys(movement.item, 'm')}, ${raw(`${number} AS number, ${left} AS balance, lead(${number}) OVER item IS NULL AS is_last,
        CASE WHEN lag(${number}) OVER item + 1 <> ${number} OR (lag(${number}) OVER item IS NOT NULL AND ${isAfter} IS DISTINCT FROM ${left})
          THEN least(lag(${number}) OVER item + 1, ${number}) END AS broken_at`)}
      FROM ${movement.table} AS m${where([raw(`${number} IS NOT NULL`), ...conditionsOf(movement.item, 'm', page)])}
      WINDOW item AS (PARTITION BY ${columnsOf(movement.item, 'm')} ORDER BY ${raw(number)})
    ) AS part
    GROUP BY ${keyNames(item.key)}
  ) AS c ON ${keysEqual(item.key, 't', 'c')}`
  const own = `t.${columnOf(last)}`
  const brokenAt = `least(c.broken_at, CASE WHEN c.last <> ${own} THEN least(c.last, ${own}) + 1 WHEN c.balance IS DISTINCT FROM t.${columnOf(item.onHand)} AND c.last IS NOT NULL THEN c.last + 1 END)`
  return { joined, broken: [['brokenAt', brokenAt]] }
}

/** The conditions for rows of `alias` whose item is on the page. */
function conditionsOf(item: readonly Field[], alias: string, { scope, after, end }: Page): readonly Piece[] {
  const isUpToEnd = end && sql`(${columnsOf(item, alias)}) <= (${end})`
  return [
    ...isOfScope(item, alias, scope),
    isBehind(item, alias, after),
    isUpToEnd ?? raw('NOT EXISTS (SELECT FROM next)'),
  ]
}

/** The scope is the beginning of the item's key. */
function isOfScope(item: readonly Field[], alias: string, scope: Scope = []): readonly Piece[] {
  return [inScope({ scope: item.slice(0, scope.length) }, alias, scope)]
}

function isBehind(item: readonly Field[], alias: string, after: Statement | undefined): Piece {
  return after && sql`(${columnsOf(item, alias)}) > (${after})`
}

interface Part {
  readonly total: SqlText
  readonly held: SqlText
  readonly condition: SqlText | undefined
}

/** Per item of the page, what its movements and what its reservations add up to. */
function sums({ movement, reservation }: StockMap, page: Page) {
  const part = ({ table, item }: LinesMap, { total, held, condition }: Part) => sql`(
    SELECT ${columnsAsKeys(item, 'm')}, ${total} AS total, ${held} AS held
    FROM ${table} AS m${where([condition, ...conditionsOf(item, 'm', page)])}
    GROUP BY ${columnsOf(item, 'm')}
  )`
  const none = raw('0')
  const sum = ({ quantity }: LinesMap) => `sum(m.${columnOf(quantity)})`
  const { applied, refused } = movement
  const total = raw(sum(movement) + (applied ? ` FILTER (WHERE m.${columnOf(applied)})` : ''))
  const parts = [part(movement, { total, held: none, condition: refused && raw(`NOT m.${columnOf(refused)}`) })]
  if (reservation) {
    const condition = raw(`m.${columnOf(reservation.state)} = ${stateIn(reservation.state, 'active')}`)
    const { fulfilled } = reservation
    const held = raw(sum(reservation) + (fulfilled ? ` - sum(m.${columnOf(fulfilled)})` : ''))
    parts.push(part(reservation, { total: none, held, condition }))
  }
  return parts
}
