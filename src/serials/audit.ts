import type { Field } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, lastFirst, sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import { ownerFields, type SerialsMap } from './mapping.js'
import { type Owner, ownerValues } from './statements.js'

/** A transaction id that has more serials than its allocation took. */
export interface OwnershipFlaw extends Owner {
  readonly serials: number
  /** How many its allocation took, or imported; `null` where nothing is noted of it. */
  readonly allocated: number | null
}

/** How many transaction ids one statement looks at. */
const PAGE = 10_000

/** The values of an owner, as texts. */
type OwnerTexts = readonly string[]

interface PageRow {
  readonly next: OwnerTexts | null
  readonly flaws: readonly (Pick<OwnershipFlaw, 'serials' | 'allocated'> & { readonly owner: OwnerTexts })[]
}

/**
 * The transaction ids that have serials which no allocation took. Fewer than it took are right: others were released.
 * Each page is one statement, and a call notes an allocation and takes its serials at once, so each was wrong at that
 * moment. A page reads the allocations between its ids alone, where all of them would be read for each.
 */
export async function* ownershipFlaws(session: Session, map: SerialsMap): AsyncGenerator<OwnershipFlaw> {
  for (let after: OwnerTexts | null | undefined; after !== null; ) {
    const [page]: readonly PageRow[] = await session.rows<PageRow>(pageOf(map, after && ownerOf(after)))
    for (const { owner, ...counts } of page?.flaws ?? []) yield { ...ownerOf(owner), ...counts }
    after = page?.next ?? null
  }
}

function ownerOf(texts: OwnerTexts): Owner {
  return { scope: texts.slice(0, -1), transactionId: texts.at(-1) ?? '' }
}

function pageOf(map: SerialsMap, after: Owner | undefined): Statement {
  const { serial, allocation } = map
  const [fields, noted] = [ownerFields(serial), ownerFields(allocation)]
  const owner = keyNames(fields, 'page.')
  const latest = lastFirst(fields, 'page.')
  const texts = (alias: string) => raw(`json_build_array(${fields.map((_, i) => `${alias}.k${i}::text`).join(', ')})`)
  const last = after && join(ownerValues(map, after))
  return sql`WITH page AS MATERIALIZED (
  SELECT ${columnsAsKeys(fields, 's')}, count(*) AS serials
  FROM ${serial.table} AS s
  WHERE s.${columnOf(serial.transactionId)} IS NOT NULL${last && sql` AND (${columnsOf(fields, 's')}) > (${last})`}
  GROUP BY ${columnsOf(fields, 's')}
  ORDER BY ${columnsOf(fields, 's')}
  LIMIT ${raw(String(PAGE))}
), last AS MATERIALIZED (
  SELECT ${owner} FROM page ORDER BY ${latest} LIMIT 1
)
SELECT (
  SELECT ${texts('last')} FROM last
) AS next, (
  SELECT coalesce(json_agg(json_build_object('owner', ${texts('page')}, 'serials', serials, 'allocated', a.${columnOf(allocation.count)}) ORDER BY ${owner}), '[]')
  FROM page
  LEFT JOIN ${allocation.table} AS a ON ${keysEqual(noted, 'a', 'page')} AND (${columnsOf(noted, 'a')}) <= (
    SELECT ${keyNames(fields, 'last.')} FROM last
  )${last && sql` AND (${columnsOf(noted, 'a')}) > (${last})`}
  WHERE page.serials > coalesce(a.${columnOf(allocation.count)}, 0)
) AS flaws`
}

/** A serial whose history or state does not fit its owner. */
export interface SerialFlaw {
  /** Its unique key, as texts. */
  readonly serial: Readonly<Record<string, string>>
  /** Its last change in the history is not its owner of now, or changes are missing. */
  readonly history: boolean
  /** It has an owner, and is not in the state for that, or the other way round. */
  readonly state: boolean
}

interface SerialPage {
  readonly next: readonly string[] | null
  readonly flaws: readonly { readonly key: readonly string[]; readonly history: boolean; readonly state: boolean }[]
}

/**
 * The serials that were changed past `$serials`. A change writes the serial and its history in one statement, and each page
 * is one statement, so each was wrong at that moment.
 */
export async function* serialFlaws(session: Session, map: SerialsMap): AsyncGenerator<SerialFlaw> {
  const { history, serial } = map
  if (history === undefined && serial.state === undefined) return
  const [number, ...others] = serial.key
  const key = [...others, ...(number ? [number] : [])]
  for (let after: readonly string[] | null | undefined; after !== null; ) {
    const [page]: readonly SerialPage[] = await session.rows<SerialPage & Row>(serialsFrom(map, key, after))
    for (const { key: values, ...flaw } of page?.flaws ?? []) {
      yield { serial: Object.fromEntries(key.map(({ name }, i) => [name, values[i] ?? ''])), ...flaw }
    }
    after = page?.next ?? null
  }
}

function serialsFrom(map: SerialsMap, key: readonly Field[], after: readonly string[] | undefined): Statement {
  const { table, transactionId, state, states, changes } = map.serial
  const values = after && join(key.map((field, i) => param(after[i], sqlTypeOf(field))))
  const behind = (alias: string) => (values ? sql`(${columnsOf(key, alias)}) > (${values})` : raw('true'))
  const texts = raw(`json_build_array(${key.map((_, i) => `page.k${i}::text`).join(', ')})`)
  const isInState = state && states ? raw(`coalesce(s.${columnOf(state)} = ${states.allocated}, false)`) : undefined
  const history = historyOf(map, key, behind)
  return sql`WITH page AS MATERIALIZED (
  SELECT ${columnsAsKeys(key, 's')}, s.${columnOf(transactionId)} AS id, ${changes ? raw(`s.${columnOf(changes)}`) : raw('0')} AS changes,
    ${isInState ? raw(`(s.${columnOf(transactionId)} IS NULL) = ${isInState}`) : raw('false')} AS state
  FROM ${table} AS s
  WHERE ${behind('s')}
  ORDER BY ${columnsOf(key, 's')}
  LIMIT ${raw(String(PAGE))}
), last AS MATERIALIZED (
  SELECT ${keyNames(key, 'page.')} FROM page ORDER BY ${lastFirst(key, 'page.')} LIMIT 1
), flaw AS MATERIALIZED (
  SELECT page.*, ${history?.differs ?? raw('false')} AS history FROM page${history?.joined}
)
SELECT (
  SELECT ${texts} FROM last AS page
) AS next, (
  SELECT coalesce(json_agg(json_build_object('key', ${texts}, 'history', history, 'state', state) ORDER BY ${keyNames(key, 'page.')}), '[]')
  FROM flaw AS page WHERE history OR state
) AS flaws`
}

/**
 * How many changes each serial of the page has, and the last one of them. A serial that was given away before there was a
 * history has no change yet. The first changes may have been pruned.
 */
function historyOf({ serial, history }: SerialsMap, key: readonly Field[], behind: (alias: string) => Piece) {
  if (history === undefined) return undefined
  const own = key.flatMap(({ name }) => history.key.find((field) => field.name === name) ?? [])
  const owner = history.copied.find(({ name }) => name === serial.transactionId.name)
  const [number, columns] = [columnOf(history.sequence), columnsOf(own, 'h')]
  const isSame = raw(own.map((_, i) => `c.k${i} = page.k${i}`).join(' AND '))
  return {
    joined: sql`
  LEFT JOIN (
    SELECT ${columnsAsKeys(own, 'h')}, count(*) + min(h.${number}) - 1 AS last
    FROM ${history.table} AS h
    WHERE ${behind('h')} AND (${columns}) <= (
      SELECT ${keyNames(key, 'last.')} FROM last
    )
    GROUP BY ${columns}
  ) AS c ON ${isSame}
  LEFT JOIN ${history.table} AS h ON ${keysEqual(own, 'h', 'page')} AND h.${number} = page.changes`,
    differs: raw(
      `(coalesce(c.last, 0) <> page.changes OR page.changes > 0 AND page.id IS DISTINCT FROM h.${owner && columnOf(owner)})`,
    ),
  }
}
