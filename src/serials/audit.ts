import type { Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, raw, type Statement, sql } from '../sql/statement.js'
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
  SELECT ${owner} FROM page ORDER BY (${owner}) DESC LIMIT 1
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
