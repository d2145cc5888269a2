import { canonical } from '../canonical.js'
import {
  type BatchConflict,
  BatchVersionConflictError,
  InvalidArgumentError,
  OutcomeUnknownError,
  VersionOverflowError,
  type VersionValue,
  WriteSuppressedError,
} from '../errors.js'
import type { Catalogue } from '../prisma/catalogue.js'
import type { Field } from '../prisma/data-model.js'
import { isConnectionLost, isOutOfRange, isTransactionConflict, isUnreachable, sqlState } from '../prisma/errors.js'
import { isStorable, toJsonValue } from '../prisma/row-json.js'
import type { CallersTransaction, RootScope } from '../prisma/scope.js'
import { columnOf, literal, quoted, tableOf } from '../prisma/sql.js'
import type { Deadline } from '../retry/deadline.js'
import { retrying } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { isRecord } from '../validation.js'
import { checkedData, requiredVersion, rowOf, type Where } from './arguments.js'
import { lockOrder } from './lock-order.js'
import { keyOf, requireKey } from './lock-row.js'
import type { VersionedModel } from './versions.js'

/** What became of one row of the batch. */
export type Verdict =
  | { readonly status: 'updated'; readonly version: VersionValue }
  | { readonly status: 'stale'; readonly expected: VersionValue; readonly actual: VersionValue }
  | { readonly status: 'missing' }
  /** The row is there at its version, but a trigger of yours kept it from being written. */
  | { readonly status: 'suppressed' }

export type Mode = 'all' | 'each'

type Operation = 'set' | 'increment' | 'decrement'

/** A row of the batch, checked, and in the form that the statement takes. */
interface Item {
  readonly row: Where
  readonly expected: VersionValue
  readonly keyFields: readonly Field[]
  readonly keyJson: Readonly<Record<string, unknown>>
  readonly operations: ReadonlyMap<Field, { readonly operation: Operation; readonly value: unknown }>
}

export interface UpdateManyCall {
  readonly versioned: VersionedModel
  readonly mode: Mode
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
}

/** Writes many rows of one model, each against its own version, in one statement. */
export async function updateMany(
  scope: RootScope | CallersTransaction,
  call: UpdateManyCall,
  entries: readonly unknown[],
  catalogue: Catalogue,
): Promise<Verdict[]> {
  const { versioned, policy, deadline } = call
  const items = entries.map((entry, index) => readItem(entry, index, versioned))
  if (items.length === 0) return []
  checkKeys(items, versioned)

  let lost: unknown
  const attempt = async (attempt: number): Promise<Verdict[]> => {
    const order = lockOrder(versioned.model, await catalogue.of(versioned.model, scope.query))
    const verdicts = await send(scope, call, items, order).catch((error: unknown) => {
      if (isConnectionLost(error) && !scope.inTransaction) lost = error
      // The database got as far as the rows' data, so they still had their expected versions.
      else if (/^2[23]/.test(sqlState(error) ?? '')) lost = undefined
      throw named(error, items, versioned)
    })
    // Sent again under the same versions: whatever is fresh now was not written before.
    if (lost !== undefined && verdicts.some(({ status }) => status !== 'updated')) {
      throw new OutcomeUnknownError('the connection was lost before the answer came, and some rows have moved on', {
        cause: lost,
      })
    }
    if (call.mode === 'all') refuseConflicts(verdicts, items, versioned, attempt)
    return verdicts
  }
  const isRetryable = (error: unknown) =>
    !scope.inTransaction &&
    (isTransactionConflict(error) ||
      isConnectionLost(error) ||
      (lost !== undefined && isUnreachable(error)) ||
      (!(error instanceof BatchVersionConflictError || error instanceof OutcomeUnknownError) && policy.retryOn(error)))
  try {
    return await retrying(attempt, policy, deadline, isRetryable)
  } catch (error) {
    // What keeps a lost write from being settled must not hide that it was lost.
    if (lost === undefined || error instanceof OutcomeUnknownError) throw error
    throw new OutcomeUnknownError('the connection was lost before the answer came', { cause: error })
  }
}

function readItem(entry: unknown, index: number, versioned: VersionedModel): Item {
  const path = `[${index}]`
  if (!isRecord(entry)) throw new InvalidArgumentError(path, 'must be { where, data }.')
  const expected = requiredVersion(entry.where, versioned, `${path}.where`)
  const row = rowOf(entry.where as Where, versioned)
  const key = keyOf(row, versioned)
  for (const filter of key.filters) {
    throw new InvalidArgumentError(
      `${path}.where.${filter}`,
      'is not a value of a key, which is all that a batch can look for.',
    )
  }
  requireKey(key, versioned, `${path}.where`)
  const operations = readOperations(checkedData(entry.data, versioned, `${path}.data`), versioned, `${path}.data`)
  return { row, expected, keyFields: key.fields, keyJson: key.json, operations }
}

function readOperations(data: Readonly<Record<string, unknown>>, versioned: VersionedModel, path: string) {
  const { model } = versioned
  const operations = new Map<Field, { operation: Operation; value: unknown }>()
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) continue
    const field = model.fields.get(name)
    if (field === undefined || (field.kind !== 'scalar' && field.kind !== 'enum')) {
      throw new InvalidArgumentError(`${path}.${name}`, `is not a scalar field of ${model.name}.`)
    }
    operations.set(field, readOperation(value, field, `${path}.${name}`))
  }
  for (const field of model.fields.values()) {
    if (field.isUpdatedAt && !operations.has(field)) operations.set(field, { operation: 'set', value: new Date() })
  }
  return operations
}

function readOperation(value: unknown, field: Field, path: string): { operation: Operation; value: unknown } {
  // Whatever it is that is set on a Json field, it is the JSON itself.
  if (isRecord(value) && (field.type !== 'Json' || field.isList) && Object.getPrototypeOf(value) === Object.prototype) {
    const [[operation, operand] = ['', undefined], ...others] = Object.entries(value)
    const isKnown = operation === 'set' || operation === 'increment' || operation === 'decrement'
    if (!isKnown || operand === undefined || others.length > 0) {
      throw new InvalidArgumentError(path, 'must be a value, or one of { set }, { increment } and { decrement }.')
    }
    if (operation !== 'set' && (operand === null || field.isList || !NUMERIC.has(field.type))) {
      throw new InvalidArgumentError(`${path}.${operation}`, `cannot be done: only a number can be added to a number.`)
    }
    return { operation, value: storable(operand, field, `${path}.${operation}`) }
  }
  return { operation: 'set', value: storable(value, field, path) }
}

const NUMERIC: ReadonlySet<string> = new Set(['Int', 'BigInt', 'Float', 'Decimal'])

function storable(value: unknown, field: Field, path: string): unknown {
  if (isStorable(value, field)) return value
  throw new InvalidArgumentError(path, `is not a value that this field of type ${field.type} can be given in a batch.`)
}

/** All rows must be named by the same key, and none of them twice: it would be stale the second time. */
function checkKeys(items: readonly Item[], { model }: VersionedModel): void {
  const shape = ({ keyFields }: Item) =>
    keyFields
      .map(({ name }) => name)
      .sort()
      .join(', ')
  const seen = new Map<string, number>()
  items.forEach((item, index) => {
    const first = items[0] as Item
    if (shape(item) !== shape(first)) {
      throw new InvalidArgumentError(
        `[${index}].where`,
        `names its ${model.name} by ${shape(item)}, but [0] by ${shape(first)}; all rows of a batch are named by the same key.`,
      )
    }
    const name = canonical(item.keyJson)
    const twin = seen.get(name)
    if (twin !== undefined) {
      throw new InvalidArgumentError(`[${index}].where`, `names the same ${model.name} as [${twin}].`)
    }
    seen.set(name, index)
  })
}

/**
 * The rows are locked first, in the order of one key of the table, so that overlapping batches queue up
 * instead of deadlocking. Sorting must be by plain columns in a sub-select of its own: locks are
 * taken in the order in which its rows come out (PostgreSQL manual, SELECT, "The Locking Clause").
 * A lock that had to wait returns the row as it is now, so `locked` has the true version even
 * where the statement's snapshot is older; the UPDATE then follows the row to that same state.
 *
 * What must not stay written is found out when it has been: two spellings of one key, or in mode
 * `all` a row that a trigger kept from being written. A text that is cast to a number is the way
 * of a single statement to fail then, and to say why; `REFUSAL` reads it.
 */
async function send(
  scope: RootScope | CallersTransaction,
  { versioned, mode }: UpdateManyCall,
  items: readonly Item[],
  order: readonly string[],
): Promise<Verdict[]> {
  const { model, version } = versioned
  const table = tableOf(model)
  const versionColumn = columnOf(version)
  const rowKey = order.map(quoted)
  const key = (items[0] as Item).keyFields.map(columnOf)
  const lockedColumns = [...new Set([...rowKey, ...key, versionColumn])]
  const assignments = assignmentsOf(items, version)

  const rows = await scope.query(
    `WITH item AS MATERIALIZED (
  SELECT i.position, i.value -> 'key' AS key, i.value -> 'set' AS set, i.value -> 'increment' AS increment,
    i.value -> 'decrement' AS decrement, (i.value ->> 'expected')::bigint AS expected
  FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS i(value, position)
), target AS MATERIALIZED (
  SELECT ${list(rowKey, 't')}
  FROM item, jsonb_populate_record(NULL::${table}, item.key) AS k, ${table} AS t
  WHERE ${equal(key, 't', 'k')}
), locked AS MATERIALIZED (
  SELECT ${list(lockedColumns, 't')}
  FROM ${table} AS t
  WHERE (${list(rowKey, 't')}) IN (SELECT ${list(rowKey, 'target')} FROM target)
  ORDER BY ${list(rowKey, 't')}
  FOR NO KEY UPDATE OF t
), verdict AS MATERIALIZED (
  SELECT item.*, ${rowKey.map((column, i) => `l.${column} AS pk${i}`).join(', ')},
    l.${versionColumn} AS actual, coalesce(l.${versionColumn} = item.expected, false) AS is_fresh,
    count(*) OVER (PARTITION BY item.position) AS matches,
    min(item.position) OVER same_row AS first, max(item.position) OVER same_row AS last
  FROM item
  CROSS JOIN jsonb_populate_record(NULL::${table}, item.key) AS k
  LEFT JOIN locked AS l ON ${equal(key, 'l', 'k')}
  WINDOW same_row AS (PARTITION BY ${list(rowKey, 'l')})
), written AS (
  UPDATE ${table} AS t
  SET ${assignments}
  FROM verdict AS v
  CROSS JOIN jsonb_populate_record(NULL::${table}, v.set) AS s
  CROSS JOIN jsonb_populate_record(NULL::${table}, v.increment) AS i
  CROSS JOIN jsonb_populate_record(NULL::${table}, v.decrement) AS d
  WHERE ${rowKey.map((column, i) => `t.${column} = v.pk${i}`).join(' AND ')} AND v.is_fresh
    AND ($2::text = 'each' OR NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh))
  RETURNING v.position, t.${versionColumn} AS version
)
SELECT v.actual, w.version,
  CASE
    WHEN v.matches > 1 THEN ('refused:ambiguous:' || v.position)::int
    WHEN v.actual IS NOT NULL AND v.first < v.last THEN ('refused:twin:' || v.last || ':' || v.first)::int
    WHEN $2::text = 'all' AND w.version IS NULL AND NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh)
      THEN ('refused:suppressed:' || v.position)::int
  END AS refusal
FROM verdict AS v
LEFT JOIN written AS w USING (position)
ORDER BY v.position`,
    JSON.stringify(items.map(toJson)),
    mode,
  )
  return rows.map((row, index) => verdictOf(row, items[index] as Item, version))
}

function list(columns: readonly string[], alias: string): string {
  return columns.map((column) => `${alias}.${column}`).join(', ')
}

function equal(columns: readonly string[], left: string, right: string): string {
  return columns.map((column) => `${left}.${column} = ${right}.${column}`).join(' AND ')
}

/** `SET` for every column that some row of the batch writes; the other rows keep what they have. */
function assignmentsOf(items: readonly Item[], version: Field): string {
  const written = new Map<Field, Set<Operation>>()
  for (const { operations } of items) {
    for (const [field, { operation }] of operations) {
      written.set(field, (written.get(field) ?? new Set()).add(operation))
    }
  }
  const columns = [...written].map(([field, operations]) => {
    const column = columnOf(field)
    const name = literal(field.column)
    const cases = [...operations].map((operation) => {
      if (operation === 'set') return `WHEN v.set ? ${name} THEN s.${column}`
      if (operation === 'increment') return `WHEN v.increment ? ${name} THEN t.${column} + i.${column}`
      return `WHEN v.decrement ? ${name} THEN t.${column} - d.${column}`
    })
    return `${column} = CASE ${cases.join(' ')} ELSE t.${column} END`
  })
  const bump = `${columnOf(version)} = t.${columnOf(version)} + 1`
  return [...columns, bump].join(',\n    ')
}

function toJson({ keyJson, expected, operations }: Item) {
  const values: Record<Operation, Record<string, unknown>> = { set: {}, increment: {}, decrement: {} }
  for (const [field, { operation, value }] of operations) values[operation][field.column] = toJsonValue(value, field)
  return { key: keyJson, expected: String(expected), ...values }
}

function verdictOf(row: Readonly<Record<string, unknown>>, { expected }: Item, version: Field): Verdict {
  const typed = (value: unknown) => (version.type === 'BigInt' ? BigInt(value as bigint) : Number(value))
  if (row.version !== null) return { status: 'updated', version: typed(row.version) }
  if (row.actual === null) return { status: 'missing' }
  const actual = typed(row.actual)
  return actual === expected ? { status: 'suppressed' } : { status: 'stale', expected, actual }
}

/** In mode `all` nothing was written if some rows were stale; the fresh ones are not to blame. */
function refuseConflicts(
  verdicts: readonly Verdict[],
  items: readonly Item[],
  { model }: VersionedModel,
  attempts: number,
) {
  const conflicts: BatchConflict[] = []
  verdicts.forEach((verdict, index) => {
    if (verdict.status !== 'stale' && verdict.status !== 'missing') return
    const { row, expected } = items[index] as Item
    conflicts.push({ index, where: row, expected, actual: verdict.status === 'stale' ? verdict.actual : undefined })
  })
  if (conflicts.length > 0) throw new BatchVersionConflictError(model.name, conflicts, attempts)
}

/** An error of the database under the name it has here. */
function named(error: unknown, items: readonly Item[], { model, version, highest }: VersionedModel): unknown {
  const [, reason, position, first] = (sqlState(error) === INVALID_TEXT && REFUSAL.exec(String(error))) || []
  if (reason !== undefined) {
    const path = `[${Number(position) - 1}].where`
    switch (reason) {
      case 'suppressed':
        return new WriteSuppressedError(model.name, (items[Number(position) - 1] as Item).row, { cause: error })
      case 'twin':
        return new InvalidArgumentError(path, `names the same ${model.name} as [${Number(first) - 1}].`, {
          cause: error,
        })
      default:
        return new InvalidArgumentError(path, `names more than one ${model.name}.`, { cause: error })
    }
  }
  const isAtHighest = items.some(({ expected }) => BigInt(expected) === highest)
  return isOutOfRange(error) && isAtHighest
    ? new VersionOverflowError(model.name, version.name, { cause: error })
    : error
}

const INVALID_TEXT = '22P02'
const REFUSAL = /refused:(suppressed|twin|ambiguous):(\d+)(?::(\d+))?/
