import { canonical } from '../canonical.js'
import type { ModelContext, Row } from '../prisma/client.js'
import type { RootScope } from '../prisma/scope.js'
import { widened } from '../prisma/selection.js'
import { findExisting, type InsertCall, type InsertResult, insertedRow, insertOnce } from './insert.js'
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

  /** `context` is the model of the client that was called: it tells the clients' extensions apart. */
  add(context: ModelContext, scope: RootScope, call: InsertCall): Promise<InsertResult> {
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
        for (let i = 0; i < opened.length; i += LARGEST_BATCH) void settle(scope, opened.slice(i, i + LARGEST_BATCH))
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
async function settle(scope: RootScope, entries: readonly Entry[]): Promise<void> {
  const first = new Map<string, Entry>()
  for (const entry of entries) if (!first.has(entry.name)) first.set(entry.name, entry)
  const speakers = [...first.values()].sort((a, b) => (a.name < b.name ? -1 : 1))

  const inserted = speakers.length > 1 ? await insertTogether(scope, speakers).catch(() => undefined) : undefined
  const isSpeaker = (entry: Entry) => first.get(entry.name) === entry
  for (const entry of speakers) {
    const record = inserted?.get(entry.name)
    if (record) entry.resolve({ record, replayed: false })
    else entry.resolve(inserted ? existingOrOnce(scope, entry.call) : insertOnce(scope, entry.call))
  }
  // They come after the speaker of their key, whether it has succeeded or not.
  for (const entry of entries) if (!isSpeaker(entry)) entry.resolve(insertOnce(scope, entry.call))
}

/** In the batch the row was a duplicate, so it should be there. */
async function existingOrOnce(scope: RootScope, call: InsertCall): Promise<InsertResult> {
  const record = await findExisting(scope, call)
  return record ? { record, replayed: true } : insertOnce(scope, call)
}

/** The records that were inserted, by the names of their keys. */
async function insertTogether(scope: RootScope, entries: readonly Entry[]): Promise<Map<string, Row>> {
  const [{ call }] = entries as [Entry]
  const keyFields = Object.keys(call.payload.key)
  const wide = widened(call.selection, keyFields, call.model)
  const rows = await Promise.all(entries.map((entry) => insertedRow(scope, entry.call)))
  return scope.transaction(
    async (tx) => {
      await tx.query(`SELECT set_config('lock_timeout', $1, true)`, String(BATCH_LOCK_TIMEOUT))
      const records = (await tx.call('createManyAndReturn', {
        data: rows,
        skipDuplicates: true,
        ...wide.selection,
      })) as unknown as Row[]
      const names = new Set(entries.map(({ name }) => name))
      const byName = new Map<string, Row>()
      for (const record of records) {
        const key = Object.fromEntries(keyFields.map((field) => [field, record[field]]))
        byName.set(keyName(key, call.model), wide.strip(record))
      }
      // The database may spell a key differently (citext, uuid); then nobody could be told whose it is.
      if (byName.size !== records.length || [...byName.keys()].some((name) => !names.has(name))) {
        throw new Error('The records of the batch cannot be told apart by their keys.')
      }
      return byName
    },
    { isolationLevel: 'ReadCommitted' },
  )
}
