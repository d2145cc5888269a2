import type { Field } from '../engine/data-model.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { raw, type SqlText } from '../sql/statement.js'
import type { Item } from './item.js'
import type { PeriodMap } from './mapping.js'
import { type Column, column, type Entry } from './statements.js'

type Dated = Pick<Entry, 'item' | 'date'>

/** The parts of statements for business dates. They are loaded with the other methods, which each call of such a ledger loads first. */
export interface PeriodSql {
  /** The dates of lines that are recorded, given in ms, and their values in the column: that of today where there is none. */
  column(entries: readonly Dated[]): Column
  readonly value: SqlText
  /** That of a recorded movement `t`, for the list of a SELECT. */
  readonly recorded: SqlText
  /** The rest is of a ledger whose periods can be closed. First, of an item `t` and of the row `l` that it is read into. */
  readonly locked?: SqlText
  readonly read?: SqlText
  /** The earliest date of each item's movements; and whether it, and that of today, is in no closed period of the item. */
  earliest?(items: readonly { readonly item: Item }[], movements: readonly Dated[]): Column
  readonly isOpen?: string
}

export function periodSql({ date, closedUntil }: PeriodMap): PeriodSql {
  const today = todayOf(date)
  const always = {
    column: (entries: readonly Dated[]) => dates(date, entries, (entry) => entry.date),
    value: raw(`, coalesce(${dateIn(date, 'm.date')}, ${today})`),
    recorded: raw(`, ${epochIn(`t.${columnOf(date)}`)} AS date`),
  }
  if (!closedUntil) return always
  const closed = `t.${columnOf(closedUntil)}`
  return {
    ...always,
    locked: raw(`, ${epochIn(closed)} AS "closedUntil", ${epochIn(today)} AS today`),
    read: raw(', l."closedUntil", l.today'),
    earliest(items, movements) {
      const first = new Map<string, number>()
      for (const { item, date } of movements)
        if (date !== undefined) first.set(item.id, Math.min(date, first.get(item.id) ?? date))
      return dates(date, items, ({ item }) => first.get(item.id))
    },
    // Where all of its movements are later than today, and today is closed, they are decided with the item locked.
    isOpen: ` AND (${closed} >= least(${dateIn(date, 'item.date')}, ${today})) IS NOT TRUE`,
  }
}

/** A date or moment, in ms since 1970. */
export function epochIn(value: string): SqlText {
  return raw(`(extract(epoch FROM ${value}) * 1000)::float8`)
}

/** The business date of today, by the database's clock. A day is one of the time zone of the connection. */
export function todayOf(date: Field): SqlText {
  return date.nativeType === 'Date' ? raw('CURRENT_DATE') : momentOf(date)
}

/** Business dates, given in ms, as a column of parameters. */
export function dates<T>(date: Field, rows: readonly T[], pick: (row: T) => number | undefined): Column {
  return column('date', dateType(date), rows, (row) => dateText(pick(row)))
}

export function dateType({ nativeType }: Field): string {
  return nativeType === 'Date' ? 'date' : 'timestamptz'
}

export function dateText(date: number | null | undefined): string | null {
  return date === null || date === undefined ? null : new Date(date).toISOString()
}

/** The value of such a parameter in the column. */
export function dateIn(date: Field, value: string): SqlText {
  return date.nativeType === 'Date' ? raw(value) : momentOf(date, value)
}
