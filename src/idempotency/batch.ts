import type { RootScope } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { ModelContext } from '../prisma/client.js'
import { type Selection, widened } from '../prisma/selection.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { NO_TIMEOUT } from '../transactions/bounded-body.js'
import { boundOf } from '../transactions/bounds.js'
import { lockLimit, wholeMilliseconds } from '../transactions/limits.js'
import { canonical } from '../values/canonical.js'
import { type InsertCall, type InsertResult, insertOnce, insertRows, requireKey, rowToInsert } from './insert.js'
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
    return batcher.add({ call, root, group, resources: keyName(key, call.model), deadline }, (result) => result)
  }
}

/**
 * The first caller of each key speaks for it in the statement; the others get its row afterwards.
 * Rows are inserted in the order of their keys: two batches that meet in opposite orders would
 * deadlock. A batch that has to wait, or that one bad row fails, is undone, and its members go on
 * alone: strangers do not wait for one another.
 */
async function insertBatch(
  batch: readonly InsertJob[],
  release: (settled: readonly InsertJob[]) => void,
): Promise<void> {
  const byName = new Map<string, [InsertJob, ...InsertJob[]]>()
  for (const job of batch) {
    if (!byName.get(job.task.resources)?.push(job)) byName.set(job.task.resources, [job])
  }
  const keys = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, jobs]) => jobs)
  const { inserted, failure } = await tryTogether(keys.map(([{ task }]) => task))
  await Promise.all(
    keys.map(async (jobs) => {
      const [{ task }] = jobs
      const record = inserted?.get(task.resources)
      const hint = { isDuplicate: inserted !== undefined, failure }
      await settleKey(jobs, record ? { record, replayed: false } : insertOnce(task.root, task.call, hint))
      release(jobs)
    }),
  )
}

/** The callers of one key: the first is given the result, and the others insert after it. */
async function settleKey(
  [first, ...others]: readonly [InsertJob, ...InsertJob[]],
  result: InsertResult | Promise<InsertResult>,
) {
  const settle = async (job: InsertJob, result: InsertResult | Promise<InsertResult>) => {
    try {
      job.resolve(await result)
      return true
    } catch (error) {
      job.reject(error)
      return false
    }
  }
  const isDone = settle(first, result)
  const insertAfter = async ({ call, root }: InsertTask) => {
    const isDuplicate = await call.deadline.race(isDone, BOUNDS.waitedFor)
    return insertOnce(root, call, { isDuplicate })
  }
  await Promise.all([isDone, ...others.map((job) => settle(job, insertAfter(job.task)))])
}

/** Nothing was inserted if the batch is of one, or failed, whatever the reason: it will show again. */
async function tryTogether(tasks: readonly InsertTask[]): Promise<{ inserted?: Map<string, Row>; failure?: unknown }> {
  if (tasks.length < 2) return {}
  try {
    return { inserted: await insertAll(tasks) }
  } catch (failure) {
    return { failure }
  }
}

/** The records that were inserted, by the names of their keys. */
async function insertAll(tasks: readonly InsertTask[]): Promise<Map<string, Row>> {
  const [{ call, root }] = tasks as [InsertTask]
  const { model, catalogue, payload } = call
  const keyFields = payload.keyFields.map(({ name }) => name)
  const wide = widened(call.selection, keyFields, model)
  const rows = await Promise.all(tasks.map((task) => rowToInsert(root, task.call)))
  await requireKey(root, call)
  const names = new Set(tasks.map(({ resources }) => resources))
  const byName = (records: readonly Row[]) => {
    const found = new Map<string, Row>()
    for (const record of records) {
      const key = Object.fromEntries(keyFields.map((field) => [field, record[field]]))
      found.set(keyName(key, model), wide.strip(record))
    }
    // The database may spell a key differently (citext, uuid); then nobody could be told whose it is.
    if (found.size !== records.length || [...found.keys()].some((name) => !names.has(name))) {
      throw new Error('The records of the batch cannot be told apart by their keys.')
    }
    return found
  }
  const plain = plainInsert(root, { model, keyFields: payload.keyFields, rows, selection: wide.selection })
  if (plain) {
    const table = await catalogue.of(model, root.query)
    return byName(await insertTogether(root, plain, table, BATCH_LOCK_TIMEOUT))
  }
  return insertByPrisma(tasks, rows, wide.selection).then(byName)
}

/** In a transaction, whose waits for locks are limited: Prisma's call alone has no limit. */
function insertByPrisma(tasks: readonly InsertTask[], rows: readonly Row[], selection: Selection): Promise<Row[]> {
  const [{ root }] = tasks as [InsertTask]
  const soonest = tasks.map(({ call }) => call.deadline).reduce((a, b) => (a.left() < b.left() ? a : b))
  const limitLocks = `SELECT ${lockLimit(BATCH_LOCK_TIMEOUT)}`
  return root.transaction(
    async (tx) => {
      await tx.query(limitLocks)
      return insertRows(tx, rows, selection)
    },
    boundOf(soonest),
    { isolationLevel: 'ReadCommitted', maxWait: wholeMilliseconds(soonest), timeout: NO_TIMEOUT },
  )
}
