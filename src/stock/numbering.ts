import { sqlTypeOf, stampColumns } from '../mapping/columns.js'
import { momentOf } from '../sql/sql.js'
import { raw, type SqlText } from '../sql/statement.js'
import type { MovementEntry, WriteSet } from './decider.js'
import type { HistoryMap, StockMap } from './mapping.js'
import { type Column, column } from './statements.js'

/** The columns of the history, for the rows of movements that are written; and the CTE that they need. */
export interface Numbers {
  readonly parameters: (entries: readonly MovementEntry[]) => readonly Column[]
  readonly columns: SqlText
  readonly values: SqlText
  readonly cte?: SqlText
}

/**
 * The numbers and balances of movements, in the order in which they were decided. They are given while the items are
 * locked, and nobody else gives one of the same item until that is committed: so a number is seen only with all those before
 * it, and there is no gap. The moment is read once all of the items are locked, so along the numbers of an item it
 * never goes back, unless the server's clock does. It is of whole milliseconds, as a Date is: a question
 * for a Date of after the commit finds it.
 *
 * @param isKnown whether the balances are those of the locked items. Else they were guessed, and the statement adds to
 *   what `locked` has found how far each movement is from the guess
 */
export function numbersOf(
  { quantities, item }: StockMap,
  history: HistoryMap,
  { items }: Pick<WriteSet, 'items'>,
  isKnown: boolean,
): Numbers {
  const places = new Map(items.map(({ item, known }, i) => [item.id, { position: i + 1, known }]))
  const start = (entry: MovementEntry) => {
    const known = isKnown ? undefined : places.get(entry.item.id)?.known
    return known ?? { sequence: 0n, onHand: 0n }
  }
  const ofMoved = <R>(entry: MovementEntry, value: (start: { sequence: bigint; onHand: bigint }) => R) =>
    entry.isRefused ? null : value(start(entry))
  const parameters = (entries: readonly MovementEntry[]) => [
    column('number', sqlTypeOf(history.sequence), entries, (entry) =>
      ofMoved(entry, ({ sequence }) => (entry.sequence - sequence).toString()),
    ),
    column('balance', quantities.wideSqlType, entries, (entry) =>
      ofMoved(entry, ({ onHand }) => quantities.text(entry.balance - onHand)),
    ),
    ...(isKnown ? [] : [column('position', 'int4', entries, ({ item }) => places.get(item.id)?.position)]),
  ]
  const slots = history.slot ? [history.slot] : []
  const columns = stampColumns([history.sequence, history.balance, history.at, ...slots])
  // The number of a slot ends the key of its row.
  const ofSlot = slots.map(() => `, m.k${item.key.length - 1}`).join('')
  if (isKnown) {
    // The statement begins with the items locked, and none of them changes while it waits.
    return {
      parameters,
      columns,
      values: raw(`, m.number, m.balance, ${momentIn(history, 'statement_timestamp()')}${ofSlot}`),
    }
  }
  return {
    parameters,
    columns,
    // By their places in lists, and not by a join: the planner takes `locked` for few rows, and would go through all of it for each movement.
    values: raw(
      `, (SELECT sequences FROM found)[m.position] + m.number, (SELECT balances FROM found)[m.position] + m.balance, (SELECT at FROM found)${ofSlot}`,
    ),
    cte: raw(`found AS MATERIALIZED (
  SELECT array_agg(sequence ORDER BY position) AS sequences, array_agg(on_hand ORDER BY position) AS balances,
    ${momentIn(history, 'clock_timestamp()')} AS at
  FROM locked
)`),
  }
}

/** A moment as the column has it, in whole milliseconds. */
export function momentIn({ at }: HistoryMap, moment: string): SqlText {
  return momentOf(at, `date_trunc('milliseconds', ${moment})`)
}
