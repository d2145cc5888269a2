import type { RecordSession, RootScope } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { ModelContext } from '../prisma/client.js'
import { insertRecords } from '../prisma/records.js'
import { widened } from '../prisma/selection.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { NO_TIMEOUT } from '../transactions/bounded-body.js'
import { boundOf } from '../transactions/bounds.js'
import { lockLimit, wholeMilliseconds } from '../transactions/limits.js'
import { canonical } from '../values/canonical.js'
import { type InsertCall, type InsertResult, insertOnce, requireKey, rowToInsert } from './insert.js'
import { insertTogether, plainInsert } from './insert-together.js'
import { keyName } from './payload.js'

/** A call that is one statement. */
interface InsertTask extends Task {
  readonly call: InsertCall
  readonly root: RootScope
  /** The name of its key. */
  readonly resources: string
}

type InsertJob = Job<InsertTask, InsertResult>

const BOUNDS: BatcherBounds = {
  // PostgreSQL takes 65,535 parameters, and a row may have a hundred columns.
  largestBatch: 500,
  // Inserts of different keys do not wait for one another.
  batchesAtOnce: Number.POSITIVE_INFINITY,
  gatheringTurns: 1,
  waitedFor: 'the same insert in this process',
}

/** How long a batch waits for a duplicate in flight elsewhere, in ms, before its members go on alone. */
const BATCH_LOCK_TIMEOUT = 100

/** Sends the inserts of one tick, one model and one selection as a single statement. */
export class InsertBatches {
  /** By the model of the client that was called, which tells the clients' extensions apart. */
  readonly #batchers = new WeakMap<ModelContext, Batcher<InsertTask, InsertResult>>()

  add(context: ModelContext, root: RootScope, call: InsertCall): Promise<InsertResult> {
    const { scalars, key, keyFields } = call.payload
    root.checkWrite('create', [{ ...scalars, ...key }], 'data') // by the names that Prisma's call would have
    const batcher = this.#batchers.get(context) ?? new Batcher(insertBatch, BOUNDS, systemClock)
    this.#batchers.set(context, batcher)
    const group = canonical([call.selection, keyFields.map(({ name }) => name).sort()])
    const { deadline } = call
    return batcher.add({ call, root, group, resources: keyName(key, keyFields), deadline }, (result) => result)
  }
}

/**
 * The first caller of each key speaks for it in the statement; the others get its row afterwards.
 * Rows are inserted in the order of their keys: two batches that meet in opposite orders would
 * deadlock. A batch that has to wait, or that one bad row fails, is undone, and its members go on
 * alone: strangers do not wait for one another.
 */
async function insertBatch(batch: readonly InsertJob[], release: (settled: readonly InsertJob[]) => void) {
  const byName = new Map<string, [InsertJob, ...InsertJob[]]>()
  for (const job of batch) {
    if (!byName.get(job.task.resources)?.push(job)) byName.set(job.task.resources, [job])
  }
  const keys = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, jobs]) => jobs)
  const { inserted, failure } = await tryTogether(keys.map(([{ task }]) => task))
  const hint = { isDuplicate: inserted !== undefined, failure }
  const isSettled = ([first, ...others]: readonly [InsertJob, ...InsertJob[]]) => {
    const record = inserted?.get(first.task.resources)
    if (record) first.resolve({ record, replayed: false })
    return record !== undefined && others.length === 0
  }
  const open = keys.filter((jobs) => !isSettled(jobs))
  const openJobs = new Set(open.flat())
  // All at once: a release of its own for each key would look at all that are open, for each of them.
  release(batch.filter((job) => !openJobs.has(job)))
  await Promise.all(
    open.map(async ([first, ...others]) => {
      const { call, root, resources } = first.task
      const isDone = inserted?.has(resources) ? Promise.resolve(true) : settle(first, insertOnce(root, call, hint))
      await Promise.all([isDone, ...others.map((job) => settle(job, insertAfter(isDone, job.task)))])
      release([first, ...others])
    }),
  )
}

/** Gives the job its result or its error. Resolves to whether it was a result. */
async function settle(job: InsertJob, result: Promise<InsertResult>): Promise<boolean> {
  try {
    job.resolve(await result)
    return true
  } catch (error) {
    job.reject(error)
    return false
  }
}

/** The insert of a caller whose key another one in this process speaks for. */
async function insertAfter(isDone: Promise<boolean>, { call, root }: InsertTask): Promise<InsertResult> {
  const isDuplicate = await call.deadline.race(isDone, BOUNDS.waitedFor)
  return insertOnce(root, call, { isDuplicate })
}

/** Nothing was inserted if the batch is of one, or failed, whatever the reason: it will show again. */
async function tryTogether(tasks: readonly InsertTask[]): Promise<{ inserted?: Map<string, Row>; failure?: unknown }> {
  const [first, second] = tasks
  if (first === undefined || second === undefined) return {}
  try {
    return { inserted: await insertAll(first, tasks) }
  } catch (failure) {
    return { failure }
  }
}

/** The records that were inserted, by the names of their keys. All tasks are of the model and the selection of the first. */
async function insertAll({ call, root }: InsertTask, tasks: readonly InsertTask[]): Promise<Map<string, Row>> {
  const { model, catalogue, payload } = call
  const { keyFields } = payload
  const rows = await Promise.all(tasks.map((task) => rowToInsert(root, task.call)))
  await requireKey(root, call)
  const keyNames = keyFields.map(({ name }) => name)
  const { selection, strip } = widened(call.selection, keyNames, model)
  const names = new Set(tasks.map(({ resources }) => resources))
  const byName = (records: readonly Row[]) => {
    const found = new Map(records.map((record) => [keyName(record, keyFields), strip(record)]))
    // The database may spell a key differently (citext, uuid); then nobody could be told whose it is.
    if (found.size === records.length && [...found.keys()].every((name) => names.has(name))) return found
    throw new Error('The records of the batch cannot be told apart by their keys.')
  }
  const plain = plainInsert(root, { model, keyFields, rows, selection })
  if (plain) return byName(await insertTogether(root, plain, await catalogue.of(model, root.query), BATCH_LOCK_TIMEOUT))
  // In a transaction, whose waits for locks are limited, and which is undone where the records cannot be told apart.
  const soonest = tasks.map((task) => task.call.deadline).reduce((a, b) => (a.left() < b.left() ? a : b))
  const insert = async (tx: RecordSession) => {
    await tx.query(`SELECT ${lockLimit(BATCH_LOCK_TIMEOUT)}`)
    return byName(await insertRecords(tx, rows, selection))
  }
  const options = { isolationLevel: 'ReadCommitted', maxWait: wholeMilliseconds(soonest), timeout: NO_TIMEOUT } as const
  return root.transaction(insert, boundOf(soonest), options)
}
