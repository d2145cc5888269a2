import type { Field } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { isUnconstrained, type Table } from '../sql/catalogue.js'
import type { Data } from './arguments.js'
import { applied, type DirectData, directData, isMoment } from './direct-data.js'
import { versionIn } from './guarded-write.js'
import type { VersionedModel } from './versioned-models.js'

/** A row as it is after some of the functions that write it. */
export interface RowState {
  readonly record: Row
  readonly written: ReadonlySet<Field>
  /** Columns whose new value was computed from the old one by the database's rules. */
  readonly summed: ReadonlySet<Field>
}

/** The answer of a function. */
export type Answer = { readonly data: unknown } | { readonly error: unknown } | { readonly isAsync: true }

/** A function of the current record, in a call of its own. */
export interface RowFunction {
  /** Runs the function on the record, in the async context of its own call. */
  ask(record: Row): Promise<Answer>
  /** Checks the data that it gave. */
  dataOf(given: unknown): Data
  /** Whether its call is tried again after this error. */
  retriesOn(error: unknown): boolean
}

/** The result of a function in the write. */
export type Composed =
  | { readonly status: 'updated' | 'unchanged'; readonly state: RowState }
  | { readonly error: unknown }

/** A table whose rows can be computed. */
export interface ComposableTable {
  readonly versioned: VersionedModel
  readonly table: Table
  /** Every scalar of the model. */
  readonly scalars: readonly Field[]
}

/**
 * Runs several functions on one row, for one write: each gets the record as the one before leaves it,
 * and the version goes up by one for each. It ends before the first function that has to go alone.
 *
 * It is exact because the states that are passed over make no difference to anybody: only columns are
 * written that nothing in the database depends on, with values and sums that JavaScript knows exactly.
 */
export async function composeUpdates(
  start: RowState,
  functions: readonly RowFunction[],
  row: ComposableTable,
): Promise<Composed[]> {
  const composed: Composed[] = []
  let state = start
  for (const each of functions) {
    const answer = await each.ask(copyOf(state.record, row.scalars))
    const next = compose(state, answer, each, row)
    if (next === undefined) break
    if ('state' in next) state = next.state
    composed.push(next)
  }
  return composed
}

/** The row after one more function. `undefined`: the function has to go alone. */
function compose(state: RowState, answer: Answer, own: RowFunction, row: ComposableTable): Composed | undefined {
  try {
    if ('isAsync' in answer) return undefined
    if ('error' in answer) return own.retriesOn(answer.error) ? undefined : answer
    if (answer.data === undefined) return { status: 'unchanged', state }
    const next = nextState(state, own.dataOf(answer.data), row)
    return next && { status: 'updated', state: next }
  } catch (error) {
    return { error } // its data is wrong, or its `retryOn` threw
  }
}

/** The row as it was read. */
export function startState(record: Row): RowState {
  return { record, written: new Set(), summed: new Set() }
}

/** The row after one more write, if it can be computed exactly. */
export function nextState(state: RowState, data: Data, { versioned, table }: ComposableTable): RowState | undefined {
  const { model, version, highest, stamps } = versioned
  const before = versionIn(state.record, versioned)
  if (BigInt(before) >= highest) return undefined
  const direct = directData(data, model)
  const values = direct && applied(direct, state.record)
  if (!values) return undefined
  for (const field of stamps) {
    if (!isMoment(field) || values.has(field)) return undefined
    values.set(field, new Date())
  }
  if (![...values.keys()].every((field) => isUnconstrained(field, table))) return undefined
  const record = { ...state.record, [version.name]: typeof before === 'bigint' ? before + 1n : before + 1 }
  for (const [field, value] of values) record[field.name] = value
  return {
    record,
    written: new Set([...state.written, ...values.keys()]),
    summed: new Set([...state.summed, ...sumsIn(direct)]),
  }
}

function sumsIn(data: DirectData): Field[] {
  return [...data].flatMap(([field, { operation }]) => (operation === 'set' ? [] : field))
}

/** A record that can be changed without changing that of another caller. */
export function copyOf(record: Row, fields: readonly Field[]): Row {
  const copy: Row = {}
  for (const field of fields) copy[field.name] = copyValue(record[field.name], field)
  return copy
}

function copyValue(value: unknown, { type }: Field): unknown {
  if (value instanceof Date) return new Date(value)
  if (ArrayBuffer.isView(value) || (type === 'Json' && typeof value === 'object')) return structuredClone(value)
  return value
}
