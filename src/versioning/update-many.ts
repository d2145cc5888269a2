import type { Field } from '../engine/data-model.js'
import { isOutOfRange } from '../engine/error-facts.js'
import type { CallersTransaction, RootRecords, TransactionRecords } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import {
  type BatchConflict,
  BatchVersionConflictError,
  InvalidArgumentError,
  VersionOverflowError,
  type VersionValue,
  WriteSuppressedError,
} from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { callOptions, type Patience, patienceOf } from '../retry/call-options.js'
import { limitReached, retry } from '../retry/loop.js'
import { isRetryableStatement } from '../retry/retryable.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { lockOrder } from '../sql/lock-order.js'
import { patient } from '../transactions/bounds.js'
import { serialized } from '../transactions/records-in-turn.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { isRefusedData } from './guarded-write.js'
import type { KeyCheck } from './key-check.js'
import { updateOneByOne } from './one-by-one.js'
import { checkKeys, type Item, readItem } from './update-many-items.js'
import { refusedRow, updateManyStatement } from './update-many-statement.js'
import type { VersionedModel } from './versioned-models.js'
import type { Versioning } from './versioning.js'

/** The verdict on one row of the batch. */
export type Verdict =
  | { readonly status: 'updated'; readonly version: VersionValue }
  | { readonly status: 'stale'; readonly expected: VersionValue; readonly actual: VersionValue }
  | { readonly status: 'missing' }
  /** The row is there at its version, but a trigger of yours kept it from being written. */
  | { readonly status: 'suppressed' }

export interface UpdateManyCall extends Patience {
  readonly versioned: VersionedModel
  readonly mode: 'all' | 'each'
  readonly catalogue: Catalogue
  readonly keyCheck: KeyCheck
  /** Whether another extension takes part in these calls, so that SQL would go past it. */
  readonly isObserved: boolean
}

const OPTIONS = s.strictObject({
  ...callOptions,
  mode: s.optional(s.oneOf(['all', 'each'])),
})

/** The calls of Prisma that the statement stands for. */
const STATEMENT_STANDS_FOR = ['update', 'updateMany', 'updateManyAndReturn', 'findUniqueOrThrow'] as const

/** The calls of Prisma that are sent where it is observed. */
const CALLS = ['update', 'findUniqueOrThrow'] as const

/** Writes many rows of one model, each against its own version, in one statement, unless it is observed. */
export async function updateManyVersioned(
  shared: Versioning,
  session: RootRecords | CallersTransaction,
  { items: entries, options }: { readonly items: unknown; readonly options: unknown },
  events: CallEvents | undefined,
): Promise<readonly Verdict[]> {
  if (!Array.isArray(entries)) {
    throw new InvalidArgumentError('updateManyVersioned', 'takes an array of { where, data }.')
  }
  const { mode = 'all', ...patience } = checkArguments(OPTIONS, options ?? {})
  const versioned = shared.modelOf(session)
  const isObserved = session.foreign(...STATEMENT_STANDS_FOR) !== undefined
  const { catalogue, keyCheck } = shared
  const call = { versioned, mode, catalogue, keyCheck, isObserved, ...patienceOf(shared.policy, patience) }
  events?.begin(call.deadline)
  return serialized(session, call.deadline, CALLS, (turn) =>
    patient(turn, call.deadline, CALLS, () => {
      const items = entries.map((entry, index) => readItem(entry, index, versioned))
      // SQL of ours is seen by no hook.
      items.forEach(({ data }, index) => void turn.checkWrite('update', data, `[${index}].data`))
      checkKeys(items, versioned)
      return items.length === 0 ? Promise.resolve([]) : writeAll(turn, call, items)
    }),
  )
}

async function writeAll(
  session: RootRecords | TransactionRecords,
  call: UpdateManyCall,
  items: readonly Item[],
): Promise<readonly Verdict[]> {
  const { versioned, mode, policy, deadline, catalogue, keyCheck } = call
  const [first] = items
  const outcome = new AmbiguousOutcome()
  const attempt = async (attempt: number): Promise<readonly Verdict[]> => {
    if (first) await keyCheck.find(session, first.key, deadline) // that of all of them
    const table = call.isObserved ? undefined : await catalogue.of(versioned.model, session)
    const isOne = table && areTogether(items, table)
    const written = isOne ? sendTogether(session, call, items, table) : updateOneByOne(session, call, items)
    const verdicts = await written.catch((error: unknown) => {
      if (!session.inTransaction) outcome.note(error)
      // Data that is refused was refused the first time, too; or the rows still had their expected versions.
      if (isRefusedData(error)) outcome.settle()
      throw named(error, items, versioned)
    })
    // Sent again under the same versions: a row that is fresh now was not written before.
    if (outcome.isAmbiguous && verdicts.some(({ status }) => status !== 'updated')) {
      throw outcome.error('the connection was lost before the answer came, and some rows have moved on')
    }
    if (mode === 'all') refuseConflicts(verdicts, items, { model: versioned.model.name, attempt })
    else deadline.events?.conflicts(items.filter((_, i) => verdicts[i]?.status === 'stale').map(({ row }) => row))
    return verdicts
  }
  try {
    return await retry(
      attempt,
      policy,
      deadline,
      (error) =>
        !session.inTransaction && !(error instanceof BatchVersionConflictError) && isRetryableStatement(error, policy),
    )
  } catch (error) {
    throw outcome.lastError(session.inTransaction ? error : limitReached(error, deadline, 'the rows'))
  }
}

/** Whether one statement can lock the rows: Citus locks those of one shard alone. */
function areTogether(items: readonly Item[], { shardedBy }: Table): boolean {
  if (shardedBy === undefined) return true
  const values = new Set(items.map(({ key }) => key.parts.find(({ field }) => field.column === shardedBy)?.value))
  return values.size === 1 && !values.has(undefined)
}

async function sendTogether(
  session: Pick<RootRecords, 'rows'>,
  { versioned, mode }: UpdateManyCall,
  items: readonly Item[],
  table: Table,
): Promise<readonly Verdict[]> {
  const order = lockOrder(versioned.model, table)
  const rows = await session.rows(updateManyStatement({ versioned, table, order, mode }, items))
  return items.map((item, index) => verdictOf(rows[index], item, versioned.version))
}

function verdictOf(row: Row | undefined, { expected }: Item, version: Field): Verdict {
  const typed = (value: unknown) => (version.type === 'BigInt' ? BigInt(String(value)) : Number(value))
  if (row && row.version !== null) return { status: 'updated', version: typed(row.version) }
  if (!row || row.actual === null) return { status: 'missing' }
  const actual = typed(row.actual)
  return actual === expected ? { status: 'suppressed' } : { status: 'stale', expected, actual }
}

/** In mode `all` nothing was written if some rows were stale; the fresh ones are not to blame. */
function refuseConflicts(
  verdicts: readonly Verdict[],
  items: readonly Item[],
  { model, attempt }: { readonly model: string; readonly attempt: number },
): void {
  const conflicts = items.flatMap(({ row, expected }, index): BatchConflict[] => {
    const verdict = verdicts[index]
    if (verdict?.status !== 'stale' && verdict?.status !== 'missing') return []
    return [{ index, where: row, expected, actual: verdict.status === 'stale' ? verdict.actual : undefined }]
  })
  if (conflicts.length > 0) throw new BatchVersionConflictError(model, conflicts, attempt)
}

/** An error of the database under the name it has here. */
function named(error: unknown, items: readonly Item[], { model, version, highest }: VersionedModel): unknown {
  const refusal = refusedRow(error)
  if (refusal) {
    const { reason, index, first } = refusal
    const path = `[${index}].where`
    const options = { cause: error }
    if (reason === 'suppressed') return new WriteSuppressedError(model.name, items[index]?.row ?? {}, options)
    const twin = reason === 'twin' ? `the same ${model.name} as [${first}]` : `more than one ${model.name}`
    return new InvalidArgumentError(path, `names ${twin}.`, options)
  }
  const isAtHighest = items.some(({ expected }) => BigInt(expected) === highest)
  return isOutOfRange(error) && isAtHighest
    ? new VersionOverflowError(model.name, version.name, { cause: error })
    : error
}
