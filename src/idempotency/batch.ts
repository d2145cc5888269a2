import { madeOnce } from '../engine/made-once.js'
import type { RecordSession, RootRecords } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { readConfirmed } from '../retry/confirm.js'
import { readAgain } from '../retry/read-again.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { type Deadline, soonest } from '../sync/deadline.js'
import { NO_TIMEOUT } from '../transactions/bounded-body.js'
import { boundOf } from '../transactions/bounds.js'
import { limitsColumn, wholeMilliseconds } from '../transactions/limits.js'
import { canonical } from '../values/canonical.js'
import { snapshot } from '../values/snapshot.js'
import { isSame } from './compare.js'
import { directInsert, findRows, insertRows, isSpelledOneWay } from './direct-insert.js'
import {
  type Hint,
  type InsertCall,
  type InsertResult,
  insertOnce,
  requireKey,
  rowToInsert,
  tableOf,
} from './insert.js'
import { keyName } from './payload.js'

/** A call that is one statement. */
interface InsertTask extends Task {
  readonly call: InsertCall
  readonly root: RootRecords
  readonly deadline: Deadline
  /** The name of its key. */
  readonly resources: string
}

type InsertJob = Job<InsertTask, InsertResult>

/** The calls of one key. The first of them inserts its row in the statement. */
type JobsOfKey = readonly [InsertJob, ...InsertJob[]]

const BOUNDS: BatcherBounds = {
  // PostgreSQL takes 65,535 parameters, and a row may have a hundred columns.
  largestBatch: 500,
  batchesAtOnce: 2,
  gatheringTurns: 12,
  // Inserts of different keys do not wait for one that is blocked.
  longestWait: 10,
  waitedFor: 'the same insert in this process',
}

/** How long a batch waits for a duplicate in flight elsewhere, in ms, before its members go on alone. */
const BATCH_LOCK_TIMEOUT = 100
const LIMITS = limitsColumn({ statement: '$1::int', lock: String(BATCH_LOCK_TIMEOUT) })

/** Sends the inserts of one tick, one model and one selection as a single statement. */
export class InsertBatches {
  /** By the records of the client that was called, which tells the clients' extensions apart. */
  readonly #batchers = new WeakMap<RootRecords, Batcher<InsertTask, InsertResult>>()

  add(root: RootRecords, call: InsertCall): Promise<InsertResult> {
    const { key, keyFields } = call.payload
    const batcher = madeOnce(this.#batchers, root, () => new Batcher(insertBatch, BOUNDS, systemClock))
    const group = canonical([call.wide.selection, keyFields.map(({ name }) => name).sort()])
    const { deadline } = call
    return batcher.add({ call, root, group, resources: keyName(key, keyFields), deadline }, (result) => result)
  }
}

/**
 * One statement inserts the rows, and another one reads those that were there before. The other calls of a key get
 * its row, too. Rows are inserted in the order of their keys: two batches that meet in opposite orders would
 * deadlock. A batch that has to wait, or that one bad row fails, is undone, and its members go on alone: calls of
 * different keys do not wait for one another.
 */
async function insertBatch(batch: readonly InsertJob[], release: (settled: readonly InsertJob[]) => void) {
  const keys = jobsByKey(batch)
  const { inserted = NONE, isUndone, failure } = await tryTogether(keys)
  const left = answerAll(keys, inserted, true)
  const found = isUndone ? NONE : await findTogether(left.filter(([{ task }]) => !inserted.has(task.resources)))
  const alone = answerAll(left, found, false)
  const open = new Set(alone.flat())
  // All at once: a release of its own for each key would look at all that are open, for each of them.
  if (keys.length > 1) release(batch.filter((job) => !open.has(job)))
  await Promise.all(
    alone.map(async (jobs) => {
      const [{ task }] = jobs
      const row = inserted.get(task.resources) ?? found.get(task.resources)
      const record = isRead(jobs[0]) ? row : undefined
      await settleAll(jobs, { isDuplicate: !isUndone, record, failure }, row !== undefined)
      if (keys.length > 1) release(jobs)
    }),
  )
}

const NONE: ReadonlyMap<string, Row> = new Map()

function jobsByKey(batch: readonly InsertJob[]): JobsOfKey[] {
  const byName = new Map<string, [InsertJob, ...InsertJob[]]>()
  for (const job of batch) {
    if (!byName.get(job.task.resources)?.push(job)) byName.set(job.task.resources, [job])
  }
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, jobs]) => jobs)
}

/** Whether a row that a statement of our own gave back may be the answer of a duplicate: nobody else takes part in reads. */
function isRead({ task: { call } }: InsertJob): boolean {
  return call.direct?.canFind === true
}

/**
 * Answers the jobs for which their row says enough, all in one moment, so that their callers come back together.
 * Gives back the jobs that are left.
 */
function answerAll(keys: readonly JobsOfKey[], rows: ReadonlyMap<string, Row>, areNew: boolean): JobsOfKey[] {
  return keys.flatMap((jobs) => {
    const row = rows.get(jobs[0].task.resources)
    if (row === undefined) return [jobs]
    const [first, ...others] = jobs.filter((job, i) => {
      const { call } = job.task
      const isNew = areNew && i === 0
      if (!isNew && !(isRead(job) && isSame(row, call))) return true
      // A caller may change its record, so each has one of its own.
      const record = jobs.length > 1 && isRead(job) ? snapshot(row, 'record') : row
      job.resolve({ record: call.wide.strip(record), replayed: !isNew })
      return false
    })
    return first ? [[first, ...others]] : []
  })
}

/** Settles the jobs of a key by what the batch has found out of its row. */
async function settleAll([first, ...others]: JobsOfKey, hint: Hint, isThere: boolean): Promise<void> {
  const isDone = settle(first, insertWith(hint, first.task))
  const behind = isThere ? others.map((job) => settle(job, insertWith(hint, job.task))) : [settleBehind(others, isDone)]
  await Promise.all([isDone, ...behind])
}

/** Settles the other jobs of a key, once the first one is done. Its answer may come in the grace: it is theirs, too. */
async function settleBehind(others: readonly InsertJob[], isDone: Promise<boolean>): Promise<void> {
  const [second] = others
  if (second === undefined) return
  const finding = isDone.then(async (isThere): Promise<Hint> => {
    const found = isThere ? await findTogether([[second]]) : NONE
    return { isDuplicate: isThere, record: found.get(second.task.resources) }
  })
  const insertLater = async ({ task }: InsertJob) =>
    insertWith(await task.call.deadline.raceInGrace(() => finding).catch((failure: unknown) => ({ failure })), task)
  await Promise.all(others.map((job) => settle(job, insertLater(job))))
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

function insertWith(hint: Hint, { call, root }: InsertTask): Promise<InsertResult> {
  return insertOnce(root, call, hint.record ? { ...hint, record: snapshot(hint.record, 'record') } : hint)
}

interface Tried {
  readonly inserted?: ReadonlyMap<string, Row>
  /** Nothing was inserted: the batch is of one key, or failed, whatever the reason: it will show again. */
  readonly isUndone: boolean
  readonly failure?: unknown
}

async function tryTogether(keys: readonly JobsOfKey[]): Promise<Tried> {
  const tasks = keys.map(([{ task }]) => task)
  const next = soonest(tasks)
  if (next === undefined || tasks.length < 2) return { isUndone: true }
  try {
    return { inserted: await insertAll(next, tasks), isUndone: false }
  } catch (failure) {
    return { isUndone: true, failure }
  }
}

/** The records that were inserted, by the names of their keys. All tasks are of the group of the one. */
async function insertAll(
  { call, root: client }: InsertTask,
  tasks: readonly InsertTask[],
): Promise<ReadonlyMap<string, Row>> {
  const { direct, payload, wide } = call
  const root = client.until(call.deadline)
  const rows = await Promise.all(tasks.map((task) => rowToInsert(root, task.call)))
  await readAgain({ policy: call.policy, deadline: call.deadline.withoutSignal() }, () => requireKey(root, call))
  const names = new Set(tasks.map(({ resources }) => resources))
  const byName = (records: readonly Row[]) => {
    const found = new Map(records.map((record) => [keyName(record, payload.keyFields), record]))
    // The database may spell a key differently (citext, uuid); then nobody could be told whose it is.
    if (found.size === records.length && [...found.keys()].every((name) => names.has(name))) return found
    throw new Error('The records of the batch cannot be told apart by their keys.')
  }
  const insert = direct?.keyFields.every(isSpelledOneWay) ? directInsert(root, direct, rows) : undefined
  if (insert) return byName(await insertRows(root, insert, await tableOf(root, call), BATCH_LOCK_TIMEOUT))
  // In a transaction, whose waits for locks are limited, and which is undone where the records cannot be told apart.
  const { deadline } = call
  const insertInOne = async (tx: RecordSession) => {
    await tx.rows({ text: `SELECT ${LIMITS}`, values: [wholeMilliseconds(deadline)] })
    return byName(await tx.createNew(rows, wide.selection))
  }
  const options = {
    isolationLevel: 'ReadCommitted',
    maxWait: wholeMilliseconds(deadline),
    timeout: NO_TIMEOUT,
  } as const
  return root.transaction(insertInOne, boundOf(deadline), options)
}

/** The rows that are there, by the names of their keys, where a statement of our own may read them. */
async function findTogether(jobs: readonly JobsOfKey[]): Promise<ReadonlyMap<string, Row>> {
  const tasks = jobs.map(([{ task }]) => task)
  const next = soonest(tasks)
  const direct = next?.call.direct
  if (!next || !direct?.canFind) return NONE
  const { call } = next
  const root = next.root.until(next.deadline)
  try {
    const keys = tasks.map((task) => task.call.payload.key)
    const table = await tableOf(root, call)
    const rows = await readConfirmed(root, {
      deadline: next.deadline.withoutSignal(),
      read: () => findRows(root, direct, keys, table),
      isFound: (found) => found.some(Boolean),
    })
    return new Map(tasks.flatMap(({ resources }, i) => (rows[i] ? [[resources, rows[i]]] : [])))
  } catch {
    return NONE // it will show again when they go on alone
  }
}
