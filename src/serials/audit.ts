import type { Session } from '../engine/session.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, type Statement, sql } from '../sql/statement.js'
import type { SerialsMap } from './mapping.js'

/** A transaction id that has more serials than its allocation took. */
export interface OwnershipFlaw {
  readonly transactionId: string
  readonly serials: number
  /** How many its allocation took, or imported; `null` where nothing is noted of it. */
  readonly allocated: number | null
}

/** How many transaction ids one statement looks at. */
const PAGE = 10_000

interface PageRow {
  readonly next: string | null
  readonly flaws: readonly OwnershipFlaw[]
}

/**
 * The transaction ids that have serials which no allocation took. Fewer than it took are right: others were released.
 * Each page is one statement, and a call notes an allocation and takes its serials at once, so each was wrong at that
 * moment. A page reads the allocations between its ids alone, where all of them would be read for each.
 */
export async function* ownershipFlaws(session: Session, map: SerialsMap): AsyncGenerator<OwnershipFlaw> {
  for (let after: string | null | undefined; after !== null; ) {
    const [page]: readonly PageRow[] = await session.rows<PageRow>(pageOf(map, after))
    yield* page?.flaws ?? []
    after = page?.next ?? null
  }
}

function pageOf({ serial, allocation }: SerialsMap, after: string | undefined): Statement {
  const [id, noted] = [columnOf(serial.transactionId), columnOf(allocation.transactionId)]
  const last = after === undefined ? undefined : param(after, sqlTypeOf(serial.transactionId))
  const behind = last === undefined ? raw('IS NOT NULL') : sql`> ${last}`
  return sql`WITH page AS MATERIALIZED (
  SELECT s.${id} AS id, count(*) AS serials
  FROM ${serial.table} AS s
  WHERE s.${id} ${behind}
  GROUP BY s.${id}
  ORDER BY s.${id}
  LIMIT ${raw(String(PAGE))}
), last AS MATERIALIZED (
  SELECT id FROM page ORDER BY page.id DESC LIMIT 1
)
SELECT (
  SELECT id::text FROM last
) AS next, (
  SELECT coalesce(json_agg(json_build_object('transactionId', id::text, 'serials', serials, 'allocated', a.${columnOf(allocation.count)}) ORDER BY page.id), '[]')
  FROM page
  LEFT JOIN ${allocation.table} AS a ON a.${noted} = page.id AND a.${noted} <= (SELECT last.id FROM last)${last && sql` AND a.${noted} > ${last}`}
  WHERE page.serials > coalesce(a.${columnOf(allocation.count)}, 0)
) AS flaws`
}
