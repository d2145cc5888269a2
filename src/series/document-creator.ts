import type { Field, Model } from '../engine/data-model.js'
import { isLockTimeout } from '../engine/error-facts.js'
import { madeOnce } from '../engine/made-once.js'
import type { Row, Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { timed } from '../events/call-events.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import type { Patience } from '../retry/call-options.js'
import { readConfirmed } from '../retry/confirm.js'
import { readAgain } from '../retry/read-again.js'
import type { Table } from '../sql/catalogue.js'
import { toRecord } from '../sql/raw-record.js'
import { raw, sql } from '../sql/statement.js'
import type { Written } from '../sql/written.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { soonest } from '../sync/deadline.js'
import { ReplayWatch } from '../sync/replay-watch.js'
import { Semaphore } from '../sync/semaphore.js'
import { lockLimit } from '../transactions/limits.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import { canonical } from '../values/canonical.js'
import { compareDocument, type DocumentRecord, documentKey, readRecord, rowOf } from './document.js'
import { createDocuments, type DocumentRow, findDocuments, type NewDocument } from './document-statements.js'
import type { OwnedCall } from './free-numbers.js'
import type { DocumentMap, DocumentSeries, SeriesMap } from './mapping.js'
import type { GivenNumber } from './store.js'
import type { CreatedDocument } from './types.js'

type Created = CreatedDocument<Row>

/** An engine's own means for documents in which other extensions take part, or that SQL of ours cannot give back. */
export interface DocumentEngine {
  /** Whether it can tell of any value what is stored for it. */
  readonly judges: boolean
  /** The fields of a record, if SQL of ours may insert and read it as a call of the session's client would. */
  readable(session: Session, model: Model, given: readonly Field[]): readonly Field[] | undefined
  /** The session for transactions of the caller's client. */
  rootOf(session: Session, model: Model): RetryingRoot
  /** The document with this key. */
  find(tx: Session, document: DocumentMap, key: Row): Promise<Row | undefined>
  insert(tx: Session, document: DocumentMap, row: Row): Promise<Row>
}

/** The parts of a `DocumentCreator`. */
export interface CreatorParts {
  readonly map: SeriesMap
  readonly root: RetryingRoot
  /** Takes a number in a transaction. */
  readonly take: (tx: Session, call: OwnedCall) => Promise<GivenNumber>
  readonly engine: DocumentEngine
}

/** A call of `create` that has been checked. */
export interface CreateCall extends Patience {
  readonly series: DocumentSeries
  readonly transactionId: string
  readonly at: Date | undefined
  readonly record: DocumentRecord
}

/** A call that may share a statement with others: all of one group have the same columns. */
interface CreateTask extends CreateCall, Omit<Task, 'deadline'> {
  readonly session: Session
  readonly document: NewDocument
  readonly readable: readonly Field[]
}

type CreateJob = Job<CreateTask, Created>

const WAITED_FOR = 'other calls for numbers of the series'
const BOUNDS: BatcherBounds = {
  largestBatch: 500,
  // The counter's row is in one transaction at a time: the calls that wait meanwhile are the next batch.
  batchesAtOnce: 1,
  gatheringTurns: 12,
  // A connection may hang; the next batch then waits for the counter in the database.
  longestWait: 250,
  waitedFor: WAITED_FOR,
}

/** How long a batch waits for a row, in ms, and how long a lone document keeps the counter from others for one. */
const LOCK_TIMEOUT = 100
/** Connections for calls that have to go alone. */
const ALONE_AT_ONCE = 3

/**
 * Numbers and inserts documents. The calls of this process for one series go as one statement. Where that fails, those
 * that were carried out before are told so; the others are sent in ever smaller parts until the bad ones are found; these go
 * alone, each in a transaction, and have their own errors. So does each call of a batch that had to wait too long.
 */
export class DocumentCreator {
  readonly #parts: CreatorParts
  readonly #batcher: Batcher<CreateTask, Created>
  readonly #alone = new Semaphore(ALONE_AT_ONCE)
  readonly #replays = new ReplayWatch()
  readonly #statements = new WeakMap<Table, WeakMap<DocumentMap, Map<string, Written>>>()

  constructor(parts: CreatorParts, maxWaiting: number) {
    this.#parts = parts
    this.#batcher = new Batcher((batch, release) => this.#run(batch, release), { ...BOUNDS, maxWaiting }, systemClock)
  }

  /** @throws InvalidArgumentError that names the field */
  read(record: unknown, document: DocumentMap): DocumentRecord {
    return readRecord(record, document, this.#parts.engine.judges)
  }

  /** @throws OverloadedError if too many calls wait already */
  create(session: Session, call: CreateCall): Promise<Created> {
    const { series, transactionId, at, record, deadline } = call
    if (session.inTransaction) return serializeInTransaction(session, deadline, () => this.#createIn(session, call))
    const { model, transactionId: id, number, value = number } = series.document
    const given = [...record.fields, id, number, value]
    const readable = record.values && this.#parts.engine.readable(session, model, given)
    if (record.values === undefined || readable === undefined) {
      return this.#createLimited(session, call, new AmbiguousOutcome())
    }
    return this.#batcher.add(
      {
        ...call,
        session,
        readable,
        document: { transactionId, at, values: record.values },
        group: canonical([series.id, record.fields.map(({ name }) => name).sort()]),
        resources: canonical([series.id, transactionId]),
      },
      (created) => created,
    )
  }

  async #run(batch: readonly CreateJob[], release: (settled: readonly CreateJob[]) => void): Promise<void> {
    const firsts = new Map([...batch].reverse().map((job) => [job.task.transactionId, job]))
    const isFirst = (job: CreateJob) => firsts.get(job.task.transactionId) === job
    const { open: failed, error } = await this.#together(batch.filter(isFirst))
    const open = batch.filter((job) => failed.includes(job) || !isFirst(job))
    if (open.length === 0) return
    const settled = (jobs: readonly CreateJob[]) => batch.filter((job) => !jobs.includes(job))
    release(settled(open))
    const outcome = new AmbiguousOutcome()
    outcome.note(error)
    const unknown = await this.#settleKnown(open, outcome)
    const alone = isLockTimeout(error) ? unknown : await this.#inParts(unknown, outcome)
    release(settled(alone))
    await Promise.all(
      alone.map(async (job) => {
        await this.#settleAlone(job, outcome)
        release([job])
      }),
    )
  }

  /** One statement for all. Resolves to the jobs that it has not settled, and to what it failed with. */
  async #together(jobs: readonly CreateJob[]): Promise<{ open: readonly CreateJob[]; error?: unknown }> {
    const next = soonest(jobs.map(({ task }) => task))
    if (next === undefined) return { open: jobs }
    const { map } = this.#parts
    const { series, record, readable, policy, deadline } = next
    const root = this.#parts.root.until(deadline)
    try {
      const table = await readAgain({ policy, deadline: deadline.withoutSignal() }, async () => {
        await map.keys.check(root)
        await series.document.keys.check(root)
        return map.catalogue.of(series.document.model, root)
      })
      const statements = madeOnce(
        madeOnce(this.#statements, table, () => new WeakMap()),
        series.document,
        () => new Map(),
      )
      const form = { map, series, table, readable, fields: record.fields, statements }
      const documents = jobs.map(({ task }) => task.document)
      const bounds = { lockTimeout: LOCK_TIMEOUT, looksForIds: this.#replays.expectsReplays() }
      const rows = await root.rows<DocumentRow>(createDocuments(form, documents, bounds))
      const byId = new Map(rows.map((row) => [row.$id, row]))
      const open = jobs.filter((job) => {
        const row = byId.get(job.task.transactionId)
        if (row) job.resolve(createdOf(row, readable, false))
        return row === undefined
      })
      return { open }
    } catch (error) {
      deadline.events?.failed(error, 1)
      return { open: jobs, error }
    }
  }

  /** The halves of what failed together, and their halves. Resolves to the jobs that must go alone. */
  async #inParts(jobs: readonly CreateJob[], outcome: AmbiguousOutcome): Promise<CreateJob[]> {
    if (jobs.length < 2) return [...jobs]
    const middle = jobs.length >> 1
    const rest: CreateJob[] = []
    for (const half of [jobs.slice(0, middle), jobs.slice(middle)]) {
      const { open, error } = await this.#together(half)
      outcome.note(error)
      rest.push(...(isLockTimeout(error) ? open : await this.#inParts(open, outcome)))
    }
    return rest
  }

  /** Answers those whose documents are there already. Resolves to the others. */
  async #settleKnown(jobs: readonly CreateJob[], outcome: AmbiguousOutcome): Promise<readonly CreateJob[]> {
    const next = soonest(jobs.map(({ task }) => task))
    if (next === undefined) return jobs
    const { map } = this.#parts
    const { series, readable, deadline } = next
    const root = this.#parts.root.until(deadline)
    const ids = jobs.map(({ task }) => task.transactionId)
    try {
      const rows = await readConfirmed(root, {
        deadline: deadline.withoutSignal(),
        read: () => root.rows<DocumentRow>(findDocuments(map, series, readable, ids)),
        isFound: ({ length }) => length > 0,
      })
      const known = new Map(rows.map((row) => [row.$id, createdOf(row, readable, true)]))
      if (known.size > 0) this.#replays.note()
      await Promise.all(
        jobs.map(async (job) => {
          const created = known.get(job.task.transactionId)
          if (created) await settle(job, this.#compared(root, job.task, created))
        }),
      )
      return jobs.filter(({ task }) => !known.has(task.transactionId))
    } catch (error) {
      if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) outcome.note(error) // found, and not confirmed
      return jobs // it will show again
    }
  }

  async #settleAlone(job: CreateJob, outcome: AmbiguousOutcome): Promise<void> {
    await settle(job, this.#createLimited(job.task.session, job.task, outcome))
  }

  /** The counter lets one through at a time: those that wait for it leave the connections to others. */
  async #createLimited(session: Session, call: CreateCall, outcome: AmbiguousOutcome): Promise<Created> {
    const { deadline } = call
    try {
      deadline.check(WAITED_FOR)
      const leave = await this.#alone.acquire(deadline, WAITED_FOR)
      return await this.#createAlone(session, call).finally(leave)
    } catch (error) {
      const isAborted = deadline.signal?.aborted && error === deadline.signal.reason
      if (outcome.isAmbiguous && (isAborted || isNoAnswer(error))) throw outcome.error('the connection was lost', error)
      throw error
    }
  }

  /**
   * In a transaction of its own. Where the document has to wait for a lock it gives way, counter and all, and comes
   * again: nobody else's number waits for what this one waits for.
   */
  async #createAlone(session: Session, call: CreateCall): Promise<Created> {
    const root = this.#parts.engine.rootOf(session, call.series.document.model)
    return ownStatements(root, { ...call, waitedFor: WAITED_FOR }, (tx) => this.#createIn(tx, call, LOCK_TIMEOUT))
  }

  /** In a transaction: the number first, and then its document. A number that the transaction id has already is kept. */
  async #createIn(tx: Session, call: CreateCall, lockTimeout?: number): Promise<Created> {
    const { take, engine } = this.#parts
    const { series, transactionId, record } = call
    const { document } = series
    await document.keys.check(tx)
    const number = await timed(call.deadline.events, 'row', () => take(tx, call))
    const { value, text } = number
    const found = number.replayed ? await engine.find(tx, document, documentKey(series, transactionId)) : undefined
    if (found) return this.#compared(tx, call, { record: found, value, text, replayed: true })
    if (lockTimeout !== undefined) await tx.rows(sql`SELECT ${raw(lockLimit(lockTimeout))}`)
    const row = rowOf(series, record.given, transactionId, number)
    return { record: await engine.insert(tx, document, row), value, text, replayed: false }
  }

  async #compared(session: Session, call: CreateCall, created: Created): Promise<Created> {
    const { series, transactionId, record } = call
    const row = rowOf(series, record.given, transactionId, created)
    await compareDocument(session, series.document, this.#parts.map.catalogue, { found: created.record, row })
    return created
  }
}

function createdOf(row: DocumentRow, readable: readonly Field[], replayed: boolean): Created {
  return { record: toRecord({ ...row }, readable), value: row.$value, text: row.$text, replayed }
}

/** Gives the job its result or its error. */
async function settle(job: CreateJob, result: Promise<Created>): Promise<void> {
  try {
    job.resolve(await result)
  } catch (error) {
    job.reject(error)
  }
}
