import type { Row } from '../engine/session.js'
import type { ModelContext } from '../prisma/client.js'
import { widened } from '../prisma/selection.js'
import type { RootScope } from '../prisma/session.js'
import type { Catalogue } from '../sql/catalogue.js'
import { NO_TIMEOUT } from '../transactions/bounded-body.js'
import { boundOf } from '../transactions/bounds.js'
import { LOCK_LIMIT, wholeMilliseconds } from '../transactions/limits.js'
import { canonical } from '../values/canonical.js'
import { type InsertCall, type InsertResult, insertedRow, insertOnce } from './insert.js'
import { insertTogether, plainInsert } from './insert-together.js'
import { keyName } from './payload.js'

/** A call that waits for the end of the tick. */
interface Entry {
  readonly call: InsertCall
  readonly name: string
  readonly resolve: (result: InsertResult | Promise<InsertResult>) => void
  readonly reject: (error: unknown) => void
}

/** How long a batch waits for a duplicate in flight elsewhere, in ms, before its members go on alone. */
const BATCH_LOCK_TIMEOUT = 100

/** Rows in one statement. PostgreSQL takes 65,535 parameters, and a row may have a hundred columns. */
const LARGEST_BATCH = 500

/** Sends the inserts of one tick, one model and one selection as a single statement. */
export class InsertBatches {
  readonly #open = new WeakMap<ModelContext, Map<string, Entry[]>>()
  readonly #catalogue: Catalogue

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
  }

  /** `context` is the model of the client that was called: it tells the clients' extensions apart. */
  add(context: ModelContext, scope: RootScope, call: InsertCall): Promise<InsertResult> {
    const { scalars, key } = call.payload
    scope.checkWrite('create', [{ ...scalars, ...key }], 'data') // by the names that Prisma's call would have
    const batches = this.#open.get(context) ?? new Map<string, Entry[]>()
    this.#open.set(context, batches)
    const group = canonical([call.selection, Object.keys(call.payload.key).sort()])
    return new Promise((resolve, reject) => {
      const entry = { call, name: keyName(call.payload.key, call.model), resolve, reject }
      const entries = batches.get(group)
      if (entries) return void entries.push(entry)
      const opened = [entry]
      batches.set(group, opened)
      // Every call that began in this tick is ahead of this in the queue of microtasks.
      queueMicrotask(() => {
        batches.delete(group)
        for (let i = 0; i < opened.length; i += LARGEST_BATCH) {
          void settle(scope, opened.slice(i, i + LARGEST_BATCH), this.#catalogue)
        }
      })
    })
  }
}

/**
 * The first caller of each key speaks for it in the statement; the others get its row afterwards.
 * Rows are inserted in the order of their keys: two batches that meet in opposite orders would
 * deadlock. A batch that has to wait, or that one bad row fails, is undone, and its members go on
 * alone: strangers do not wait for one another.
 */
async function settle(scope: RootScope, entries: readonly Entry[], catalogue: Catalogue): Promise<void> {
  const byName = new Map<string, [Entry, ...Entry[]]>()
  for (const entry of entries) {
    const { signal } = entry.call.deadline
    if (signal?.aborted) entry.reject(signal.reason)
    else if (!byName.get(entry.name)?.push(entry)) byName.set(entry.name, [entry])
  }
  const keys = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, callers]) => callers)
  const { inserted, failure } = await tryTogether(
    scope,
    keys.map(([speaker]) => speaker),
    catalogue,
  )
  for (const [speaker, ...others] of keys) {
    const record = inserted?.get(speaker.name)
    const result: Promise<InsertResult> = record
      ? Promise.resolve({ record, replayed: false })
      : insertOnce(scope, speaker.call, { isDuplicate: inserted !== undefined, failure })
    speaker.resolve(result)
    for (const other of others) other.resolve(insertAfter(result, scope, other.call))
  }
}

/** Nothing was inserted if the batch is of one, or failed, whatever the reason: it will show again. */
async function tryTogether(
  scope: RootScope,
  entries: readonly Entry[],
  catalogue: Catalogue,
): Promise<{ inserted?: Map<string, Row>; failure?: unknown }> {
  if (entries.length < 2) return {}
  try {
    return { inserted: await insertAll(scope, entries, catalogue) }
  } catch (failure) {
    return { failure }
  }
}

/** A caller whose key another one in this process is speaking for: its turn comes when that one is done. */
async function insertAfter(speaker: Promise<InsertResult>, scope: RootScope, call: InsertCall): Promise<InsertResult> {
  const done = speaker.then(
    () => true,
    () => false,
  )
  const isDuplicate = await call.deadline.race(done, 'the same insert in this process')
  return insertOnce(scope, call, { isDuplicate })
}

/** The records that were inserted, by the names of their keys. */
async function insertAll(scope: RootScope, entries: readonly Entry[], catalogue: Catalogue): Promise<Map<string, Row>> {
  const [{ call }] = entries as [Entry]
  const { model } = call
  const keyFields = Object.keys(call.payload.key)
  const wide = widened(call.selection, keyFields, model)
  const rows = await Promise.all(entries.map((entry) => insertedRow(scope, entry.call)))
  await call.requireKey(scope)
  const names = new Set(entries.map(({ name }) => name))
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
  const plain = plainInsert(scope, model, keyFields, rows, wide.selection)
  if (plain) {
    const table = await catalogue.of(model, scope.query)
    return byName(await insertTogether(scope, plain, table, BATCH_LOCK_TIMEOUT))
  }
  const soonest = entries.map(({ call }) => call.deadline).reduce((a, b) => (a.left() < b.left() ? a : b))
  return scope.transaction(
    async (tx) => {
      await tx.query(`SELECT ${LOCK_LIMIT}`, BATCH_LOCK_TIMEOUT)
      const call = { data: rows, skipDuplicates: true, ...wide.selection }
      return byName((await tx.call('createManyAndReturn', call)) as unknown as Row[])
    },
    boundOf(soonest),
    { isolationLevel: 'ReadCommitted', maxWait: wholeMilliseconds(soonest), timeout: NO_TIMEOUT },
  )
}
