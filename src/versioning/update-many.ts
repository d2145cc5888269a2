import type { Field } from '../engine/data-model.js'
import {
  isConnectionLost,
  isOutOfRange,
  isTransactionConflict,
  isUnreachable,
  sqlState,
} from '../engine/error-facts.js'
import {
  type BatchConflict,
  BatchVersionConflictError,
  InvalidArgumentError,
  OutcomeUnknownError,
  VersionOverflowError,
  type VersionValue,
  WriteSuppressedError,
} from '../errors/index.js'
import type { RootScope } from '../prisma/session.js'
import { retry } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import type { Deadline } from '../sync/deadline.js'
import type { TransactionInTurn } from '../transactions/records-in-turn.js'
import { canonical } from '../values/canonical.js'
import { isRecord } from '../values/validation.js'
import { checkedData, requiredVersion, rowOf, type Where } from './arguments.js'
import { lockOrder } from './lock-order.js'
import { keyOf, requireKey } from './lock-row.js'
import { updateOneByOne } from './one-by-one.js'
import type { RowKeys } from './row-keys.js'
import { type Item, type Operation, refusedRow, updateManySql } from './update-many-statement.js'
import type { VersionedModel } from './versioned-models.js'

/** What became of one row of the batch. */
export type Verdict =
  | { readonly status: 'updated'; readonly version: VersionValue }
  | { readonly status: 'stale'; readonly expected: VersionValue; readonly actual: VersionValue }
  | { readonly status: 'missing' }
  /** The row is there at its version, but a trigger of yours kept it from being written. */
  | { readonly status: 'suppressed' }

export type Mode = 'all' | 'each'

export interface UpdateManyCall {
  readonly versioned: VersionedModel
  readonly mode: Mode
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
  /** Whether another extension takes part in these calls, so that SQL would go past it. */
  readonly isObserved: boolean
}

/** Writes many rows of one model, each against its own version, in one statement, unless it is observed. */
export async function updateMany(
  scope: RootScope | TransactionInTurn,
  call: UpdateManyCall,
  entries: readonly unknown[],
  catalogue: Catalogue,
  rowKeys: RowKeys,
): Promise<Verdict[]> {
  const { versioned, policy, deadline } = call
  const items = entries.map((entry, index) => readItem(entry, index, versioned))
  // SQL of ours is seen by no hook.
  items.forEach(({ data }, index) => void scope.checkWrite('update', data, `[${index}].data`))
  const [first] = items
  if (first === undefined) return []
  checkKeys(items, versioned)

  let lost: unknown
  const attempt = async (attempt: number): Promise<Verdict[]> => {
    await rowKeys.check(scope, versioned.model, first.row) // that of all of them
    const table = call.isObserved ? undefined : await catalogue.of(versioned.model, scope.query)
    const written = table ? send(scope, call, items, table) : updateOneByOne(scope, call, items)
    const verdicts = await written.catch((error: unknown) => {
      if (isConnectionLost(error) && !scope.inTransaction) lost = error
      // Data that is refused was refused the first time, too; or the rows still had their expected versions.
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
    return await retry(attempt, policy, deadline, isRetryable)
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
  for (const { field, path: part } of key.unclear) refuseValue(field, `${path}.where.${part}`)
  requireKey(key, versioned, `${path}.where`)
  const data = checkedData(entry.data, versioned, `${path}.data`)
  const operations = readOperations(data, versioned, `${path}.data`)
  return { row, expected, data, key, operations }
}

function readOperations(data: Readonly<Record<string, unknown>>, versioned: VersionedModel, path: string) {
  const { model } = versioned
  const operations = new Map<Field, { operation: Operation; value: ColumnValue }>()
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) continue
    const field = model.fields.get(name)
    if (field === undefined || (field.kind !== 'scalar' && field.kind !== 'enum')) {
      throw new InvalidArgumentError(`${path}.${name}`, `is not a scalar field of ${model.name}.`)
    }
    if (model.emulatedKeys.has(name)) {
      throw new InvalidArgumentError(
        `${path}.${name}`,
        `is a key that other rows refer to, which Prisma has to change with it (relationMode = "prisma"). Use updateVersioned for it.`,
      )
    }
    operations.set(field, readOperation(value, field, `${path}.${name}`))
  }
  for (const field of model.fields.values()) {
    if (field.isUpdatedAt && !operations.has(field)) operations.set(field, readOperation(new Date(), field, path))
  }
  return operations
}

function readOperation(value: unknown, field: Field, path: string): { operation: Operation; value: ColumnValue } {
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

function storable(value: unknown, field: Field, path: string): ColumnValue {
  const stored = columnValue(value, field)
  return stored === undefined ? refuseValue(field, path) : stored
}

function refuseValue({ type, isList, nativeType }: Field, path: string): never {
  const name = `${type}${isList ? '[]' : ''}${nativeType === undefined ? '' : ` @db.${nativeType}`}`
  throw new InvalidArgumentError(path, `is not a value that this field of type ${name} can be given in a batch.`)
}

/** All rows must be named by the same key, and none of them twice: it would be stale the second time. */
function checkKeys(items: readonly Item[], { model }: VersionedModel): void {
  const shape = ({ key }: Item) => key.fields.map(({ name }) => name).join(', ')
  const seen = new Map<string, number>()
  items.forEach((item, index) => {
    const first = items[0] as Item
    if (shape(item) !== shape(first)) {
      throw new InvalidArgumentError(
        `[${index}].where`,
        `names its ${model.name} by ${shape(item)}, but [0] by ${shape(first)}; all rows of a batch are named by the same key.`,
      )
    }
    const name = canonical(item.key.values)
    const twin = seen.get(name)
    if (twin !== undefined) {
      throw new InvalidArgumentError(`[${index}].where`, `names the same ${model.name} as [${twin}].`)
    }
    seen.set(name, index)
  })
}

async function send(
  scope: RootScope | TransactionInTurn,
  { versioned, mode }: UpdateManyCall,
  items: readonly Item[],
  table: Table,
): Promise<Verdict[]> {
  const { sql, json } = updateManySql(versioned, items, lockOrder(versioned.model, table), table)
  const rows = await scope.query(sql, json, mode)
  return rows.map((row, index) => verdictOf(row, items[index] as Item, versioned.version))
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
  const refusal = refusedRow(error)
  if (refusal) {
    const { reason, index, first } = refusal
    const path = `[${index}].where`
    switch (reason) {
      case 'suppressed':
        return new WriteSuppressedError(model.name, (items[index] as Item).row, { cause: error })
      case 'twin':
        return new InvalidArgumentError(path, `names the same ${model.name} as [${first}].`, { cause: error })
      default:
        return new InvalidArgumentError(path, `names more than one ${model.name}.`, { cause: error })
    }
  }
  const isAtHighest = items.some(({ expected }) => BigInt(expected) === highest)
  return isOutOfRange(error) && isAtHighest
    ? new VersionOverflowError(model.name, version.name, { cause: error })
    : error
}
