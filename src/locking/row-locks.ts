import type { DataModel, Field, Model } from '../engine/data-model.js'
import { isLockTimeout, isStatementTimeout } from '../engine/error-facts.js'
import { Absent, type ActionArgs, type CallersTransaction, type RecordSession } from '../engine/records.js'
import type { Row, SqlStatement } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, RowLockedError } from '../errors/index.js'
import { type CallEvents, timed } from '../events/call-events.js'
import { type ResolvedPolicy, timeSpan } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { lockOrder } from '../sql/lock-order.js'
import { rowKeyOf } from '../sql/row-key.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { LOCK_LIMIT, STATEMENT_LIMIT } from '../transactions/limits.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import * as s from '../values/schema.js'
import { type Selection, selectionOf } from '../values/selection.js'
import { checkArguments, checkNames, isRecord } from '../values/validation.js'
import { jsonOfKey, lockStatement, type RowLock } from './row-statements.js'

/** More rows would be more parameters than Prisma sends in one statement. */
const MOST_ROWS = 10_000

/** How many rows more than `take` are looked at first. Twice as many each time, so all of them are read in the end. */
const SPARE_ROWS = 32

const DEFAULT_TIMEOUT = 5_000

const OPTIONS = s.strictObject({
  mode: s.optional(s.oneOf(['noKeyUpdate', 'update', 'share'])),
  wait: s.optional(s.oneOf(['block', 'skip', 'refuse'])),
  timeout: s.optional(timeSpan),
  take: s.optional(s.whole().check(s.gte(1), s.lte(MOST_ROWS, 'must be at most 10,000'))),
})

const ONE_ARGUMENTS = ['where', 'select', 'include', 'omit', 'mode', 'wait', 'timeout']
const MANY_ARGUMENTS = [...ONE_ARGUMENTS, 'orderBy', 'take']

/** The parts of the package that row locks need. */
export interface RowLockParts {
  readonly dataModel: DataModel
  readonly catalogue: Catalogue
  readonly policy: ResolvedPolicy
}

interface Asked {
  readonly given: unknown
  readonly isUnique: boolean
  readonly events: CallEvents | undefined
}

/** A call, read, in its turn of the transaction. */
interface RowCall {
  readonly records: RecordSession
  readonly model: Model
  readonly where: ActionArgs
  readonly orderBy: ActionArgs
  readonly take: number | undefined
  readonly selection: Selection
  readonly mode: RowLock['mode']
  readonly wait: RowLock['wait']
  readonly timeout: number
  readonly deadline: Deadline
  readonly lock: Pick<RowLock, 'model' | 'fields' | 'table'>
}

/** `findUniqueForUpdate` and `findManyForUpdate`: the records, whose rows are locked then. */
export async function findForUpdate(
  { dataModel, catalogue, policy }: RowLockParts,
  transaction: CallersTransaction,
  { given, isUnique, events }: Asked,
): Promise<readonly Row[]> {
  const model = dataModel.get(transaction.model)
  if (!model) throw new ConfigurationError([{ path: '', message: `${transaction.model} is not a model` }])
  const args = readArguments(given, isUnique)
  const deadline = new Deadline(policy.deadline + args.timeout, undefined, systemClock)
  events?.begin(deadline, isUnique ? args.where : undefined)
  return inPatientTurn(transaction, deadline, ['findUniqueOrThrow', 'findMany'], async (records) => {
    const table = await catalogue.of(model, records)
    const fields = lockOrder(model, table).map((column) => keyField(model, column))
    const call = { ...args, records, model, deadline, lock: { model, fields, table } }
    if (isUnique) return findOne(call)
    return args.wait === 'block' ? findBlocking(call) : findFree(call)
  })
}

function readArguments(given: unknown, isUnique: boolean) {
  if (!isRecord(given)) throw new InvalidArgumentError('arguments', 'must be an object.')
  checkNames(given, isUnique ? ONE_ARGUMENTS : MANY_ARGUMENTS)
  const { where, orderBy, select, include, omit, ...options } = given
  if (!isRecord(where)) throw new InvalidArgumentError('where', 'must be an object.')
  const { mode = 'noKeyUpdate', wait = 'block', timeout, take } = checkArguments(OPTIONS, options)
  if (timeout !== undefined && wait !== 'block')
    throw new InvalidArgumentError('timeout', `is for wait: 'block' alone: '${wait}' does not wait.`)
  return {
    where,
    orderBy: orderBy === undefined ? {} : { orderBy },
    selection: selectionOf({ select, include, omit }),
    mode,
    wait,
    take,
    timeout: wait === 'block' ? Math.ceil(timeout ?? DEFAULT_TIMEOUT) : 0,
  }
}

/** A field of the key by which rows are locked. Prisma must be able to give its value exactly. */
function keyField(model: Model, column: string): Field {
  const field = [...model.fields.values()].find((one) => one.column === column)
  if (field && isExact(field)) return field
  const why = field ? `its values cannot be compared exactly` : `${model.name} has no field for it`
  throw new ConfigurationError([
    { path: '', message: `the rows of ${model.name} cannot be locked by their key, column "${column}": ${why}` },
  ])
}

/** Prisma reads moments to the millisecond, and the database may have more of them. */
function isExact({ kind, type, nativeType, isList }: Field): boolean {
  if (isList || kind === 'relation' || kind === 'unsupported') return false
  if (type === 'DateTime')
    return nativeType === undefined || /^(?:Date|Time(?:stamp|stamptz)?\([0-3]\))$/.test(nativeType)
  return type !== 'Float' && type !== 'Json' && type !== 'Bytes'
}

/**
 * The key of the row is read, the row locked by it, and read again by `where`. Where that finds another row, since keys
 * of two rows were exchanged meanwhile, or none, it begins anew: `null` is the answer of a read alone.
 */
async function findOne(call: RowCall): Promise<Row[]> {
  const { records, where, wait, deadline } = call
  for (;;) {
    const key = primaryKeyIn(call) ?? (await readKey(call, where))
    if (key === undefined) return []
    const [locked] = await lockRows(call, [key], 1)
    if (locked !== undefined) {
      const record = await records.read({ where: narrowed(where, key), ...call.selection })
      if (!(record instanceof Absent)) return [record]
    }
    // Named by its lock key alone, no other row can have come in the place of this one.
    if (wait === 'skip' || primaryKeyIn(call) !== undefined) return []
    deadline.check('the row')
  }
}

/** The row's lock key, where `where` has it. */
function primaryKeyIn({ where, model, lock }: RowCall): Row | undefined {
  const { keys, parts } = rowKeyOf(where, model)
  const isOwn = keys.some(
    ({ fields }) => fields.length === lock.fields.length && fields.every((f) => lock.fields.includes(f)),
  )
  if (!isOwn) return undefined
  const values = new Map(parts.map(({ field, value }) => [field, value]))
  if (!lock.fields.every((field) => values.has(field))) return undefined
  return Object.fromEntries(lock.fields.map((field) => [field.name, valueIn(where, field)]))
}

/** A value of a unique `where`, in which a key of several fields has a name of its own. */
function valueIn(where: ActionArgs, { name }: Field): unknown {
  if (where[name] !== undefined) return where[name]
  return Object.values(where).find((part): part is Row => isRecord(part) && part[name] !== undefined)?.[name]
}

async function readKey({ records, lock }: RowCall, where: ActionArgs): Promise<Row | undefined> {
  const record = await records.read({ where, select: selectOf(lock.fields) })
  return record instanceof Absent ? undefined : record
}

/**
 * Picked, locked in the order of the key, and compared with `where` again: a row that the lock had to wait for may not
 * fit any more. Two calls lock in the same order, so neither waits for a row that the other one waits with.
 */
async function findBlocking(call: RowCall): Promise<Row[]> {
  const keys = await candidates(call, call.take ?? MOST_ROWS + 1)
  checkNumber(call, keys)
  const locked = await lockRows(call, keys, keys.length)
  return recordsOf(call, locked)
}

/**
 * Locks no more rows than are still wanted, in the order in which Prisma gives them, and compares them with `where`
 * again, since one that was changed just before does not fit any more.
 *
 * A worker holds no more rows that fit than `take`. So of n workers with `take: 1`, a worker that has none has met n - 1
 * locked rows at most, and one of n rows was free: each row is tried before the call gives up, since each page is as
 * much longer than all rows tried before.
 */
async function findFree(call: RowCall): Promise<Row[]> {
  const { wait, records } = call
  if (wait === 'skip') return pickFree(call)
  try {
    // In a savepoint, so that a refusal gives back what was locked before it.
    return await records.contained((inside) => pickFree({ ...call, records: inside }))
  } catch (error) {
    throw isLockTimeout(error) ? new RowLockedError(call.model.name, undefined, { cause: error }) : error
  }
}

async function pickFree(call: RowCall): Promise<Row[]> {
  const { take = MOST_ROWS, deadline, lock } = call
  const tried = new Set<string>()
  const locked: Row[] = []
  let found: Row[] = []
  for (let page = call.take === undefined ? MOST_ROWS + 1 : take + SPARE_ROWS; ; page *= 2) {
    const asked = tried.size + page
    const keys = await candidates(call, asked)
    checkNumber(call, keys)
    const untried = keys.filter((key) => !tried.has(jsonOfKey(lock.fields, key)))
    const wanted = take - found.length
    const numbers = untried.length === 0 ? [] : await lockStep(call, untried, wanted)
    // The rows behind the last one that was wanted were not tried.
    const last = numbers.length === wanted ? Math.max(...numbers) : untried.length
    for (const key of untried.slice(0, last)) tried.add(jsonOfKey(lock.fields, key))
    if (numbers.length > 0) {
      locked.push(...picked(untried, numbers))
      // Conditions on other models may have become true for a row that is held already.
      found = (await recordsOf(call, locked)).slice(0, take)
    }
    if (found.length === take || (keys.length < asked && last === untried.length)) return found
    deadline.check('the rows')
  }
}

/** The keys of the first rows that fit, by Prisma. */
function candidates({ records, where, orderBy, lock }: RowCall, take: number): Promise<Row[]> {
  return records.list({ where, ...orderBy, take, select: selectOf(lock.fields) })
}

function checkNumber({ take }: RowCall, keys: readonly Row[]): void {
  if (take !== undefined || keys.length <= MOST_ROWS) return
  throw new InvalidArgumentError('take', 'must be given: more than 10,000 records fit `where`.')
}

/** The records of rows that are locked, as far as they fit. */
async function recordsOf(
  { records, where, orderBy, selection, lock }: RowCall,
  locked: readonly Row[],
): Promise<Row[]> {
  if (locked.length === 0) return []
  return records.list({ where: { AND: [where, among(lock.fields, locked)] }, ...orderBy, ...selection })
}

function selectOf(fields: readonly Field[]) {
  return Object.fromEntries(fields.map(({ name }) => [name, true]))
}

function among(fields: readonly Field[], keys: readonly Row[]): object {
  const [first, second] = fields
  if (first && !second) return { [first.name]: { in: keys.map((key) => key[first.name]) } }
  return { OR: keys.map((key) => Object.fromEntries(fields.map(({ name }) => [name, key[name]]))) }
}

/** The same unique `where`, for the row of this key alone. */
function narrowed(where: ActionArgs, key: Row): ActionArgs {
  const own = where.AND === undefined ? [] : [where.AND].flat()
  return { ...where, AND: [...own, key] }
}

/** Locks the rows of these keys, no more of them than are wanted. Resolves to the keys of those that are locked. */
async function lockRows(call: RowCall, keys: readonly Row[], wanted: number): Promise<Row[]> {
  if (keys.length === 0) return []
  const numbers = call.wait === 'skip' ? await lockStep(call, keys, wanted) : await lockContained(call, keys, wanted)
  return picked(keys, numbers)
}

function picked(keys: readonly Row[], numbers: readonly number[]): Row[] {
  return numbers.map((number) => keys[number - 1]).filter((key) => key !== undefined)
}

async function lockStep(
  { records, lock, mode, wait }: Pick<RowCall, 'records' | 'lock' | 'mode' | 'wait'>,
  keys: readonly Row[],
  wanted: number,
) {
  const rows = await records.rows<{ number: number }>(lockStatement({ ...lock, mode, wait }, keys, wanted))
  return rows.map(({ number }) => number)
}

/** In a savepoint, so that the transaction goes on after a lock that was not to be had, and holds none of the others. */
async function lockContained(call: RowCall, keys: readonly Row[], wanted: number): Promise<number[]> {
  const { records, deadline, timeout, wait, model } = call
  try {
    return await records.contained(async (inside) => {
      if (wait === 'refuse') return lockStep({ ...call, records: inside }, keys, wanted)
      const [before] = await inside.rows<Limits>(limitWait(timeout))
      const numbers = await timed(deadline.events, 'row', () => lockStep({ ...call, records: inside }, keys, wanted))
      if (before) await inside.rows(limitsBack(before))
      return numbers
    })
  } catch (error) {
    const isWait = wait === 'refuse' ? isLockTimeout(error) : isStatementTimeout(error)
    if (!isWait) throw error
    throw new RowLockedError(model.name, wait === 'refuse' ? undefined : timeout, { cause: error })
  }
}

interface Limits {
  readonly lock: string
  readonly statement: string
}

/** `lock_timeout` counts anew for each row that the statement waits for, `statement_timeout` for all of them together. */
function limitWait(milliseconds: number): SqlStatement {
  const text = `SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
  ${LOCK_LIMIT},
  ${STATEMENT_LIMIT}`
  return { text, values: [milliseconds] }
}

function limitsBack({ lock, statement }: Limits): SqlStatement {
  const text = `SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`
  return { text, values: [lock, statement] }
}
