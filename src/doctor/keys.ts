import type { Finding } from '../errors/index.js'
import { describeMissingKey } from '../sql/missing-key.js'
import { tableOf } from '../sql/sql.js'
import { isThere } from '../sql/unique-keys.js'
import type { DatabaseFacts } from './facts.js'
import type { Needs } from './needs.js'

/** Keys that are no unique index which holds for all rows at every moment. */
export function checkKeys({ keys }: Needs, { tables }: DatabaseFacts): Finding[] {
  return keys.flatMap((key): Finding[] => {
    const table = tables.get(key.model.name)
    // Of a view of several tables nothing is known, and the SQL of a table that is missing has its keys.
    if (!table?.hasIndexes || isThere(key, table)) return []
    const { columns, seen, sql } = describeMissingKey(key, table)
    return [
      {
        severity: 'error',
        code: 'KEY_MISSING',
        where: `${tableOf(key.model)} (${columns})`,
        what: `There is no unique index of these columns that holds for all rows.${seen}`.replace(/\.$/, ''),
        cost: `Without it ${key.cost}`,
        sql,
      },
    ]
  })
}
