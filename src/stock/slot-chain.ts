import type { Field } from '../engine/data-model.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual } from '../mapping/columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, type Piece, raw, type Statement, sql } from '../sql/statement.js'
import type { HistoryMap, StockMap } from './mapping.js'
import { where } from './statements.js'

/** A join that finds where histories are broken, and the columns that it has of that. */
export interface Chain {
  readonly joined: Statement
  readonly broken: readonly [readonly [name: 'brokenAt', value: string], ...(readonly [name: string, value: string])[]]
}

/**
 * Of each item with slots the first slot, and the first number in it, at which the history has a gap, or a number twice, or
 * does not end with the last one of the slot. A slot that was merged has its movements, and no row. Nothing is said of
 * balances: evening out changes them between two movements.
 *
 * @param conditions for the rows `t` of items, and for the movements `m`
 */
export function chainOfSlots(
  { item, movement }: StockMap,
  { last, sequence, slot }: HistoryMap & { readonly slot: Field },
  conditions: { readonly rows: Statement | undefined; readonly lines: readonly Piece[] },
): Chain {
  const { key, slots, model } = item
  const number = `m.${columnOf(sequence)}`
  const next = `lag(${number}) OVER own + 1`
  const both = join(key.map((_, i) => raw(`coalesce(r.k${i}, c.k${i}) AS k${i}`)))
  const isSame = raw([...key.map((_, i) => `r.k${i} = c.k${i}`), 'r.slot = c.slot'].join(' AND '))
  const joined = sql` LEFT JOIN (
    SELECT ${keyNames(key)}, min(ARRAY[slot, broken_at]) AS broken
    FROM (
      SELECT ${both}, coalesce(r.slot, c.slot)::int8 AS slot,
        least(c.broken_at, CASE WHEN c.last <> r.last THEN least(c.last, r.last) + 1 END)::int8 AS broken_at
      FROM (
        SELECT ${columnsAsKeys(key, 't')}, ${raw(`t.${columnOf(slots ?? slot)} AS slot, t.${columnOf(last)} AS last`)}
        FROM ${tableOf(model)} AS t${conditions.rows}
      ) AS r FULL JOIN (
        SELECT ${keyNames(key)}, slot, min(broken_at) AS broken_at, max(number) AS last
        FROM (
          SELECT ${columnsAsKeys(movement.item, 'm')}, ${raw(`m.${columnOf(slot)} AS slot, ${number} AS number,
            CASE WHEN ${next} <> ${number} THEN least(${next}, ${number}) END AS broken_at`)}
          FROM ${movement.table} AS m${where([raw(`${number} IS NOT NULL`), ...conditions.lines])}
          WINDOW own AS (PARTITION BY ${columnsOf([...movement.item, slot], 'm')} ORDER BY ${raw(number)})
        ) AS part
        GROUP BY ${keyNames(key)}, slot
      ) AS c ON ${isSame}
    ) AS part
    WHERE broken_at IS NOT NULL
    GROUP BY ${keyNames(key)}
  ) AS c ON ${keysEqual(key, 't', 'c')}`
  return {
    joined,
    broken: [
      ['brokenAt', 'c.broken[2]'],
      ['brokenSlot', 'c.broken[1]'],
    ],
  }
}
