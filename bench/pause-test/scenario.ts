/**
 * A contender in the pause test. One process is stopped in the middle of its sections for longer
 * than any lease lasts; another one does the same work meanwhile; the first one goes on. The
 * database logs each write with what it has overwritten.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Contender, Environment } from '../contender.js'
import type { PauseTestResult } from '../result.js'
import { type Databases, onDatabase } from '../runner/databases.js'
import { failureMessage } from '../runner/failure-message.js'
import { LEASE } from '../support/lock.js'
import { fillItems } from '../workloads/items.js'
import type { CallReport, PauseOperation } from './messages.js'
import { PauseProcess } from './process.js'

/** As many sections are stopped at once: half of the connections, so that each of them has one for its lock. */
const SECTIONS = 5
const POOL_SIZE = 10
/** In ms: past every lease, that of a ZooKeeper session, which is rounded up by its tick, included. */
const STOPPED = LEASE + 4_000
/** In ms, for anything that happens while nobody is stopped. */
const PATIENCE = 60_000

const ITEM_IDS = Array.from({ length: SECTIONS }, (_, index) => index + 1)

const LOG = `
CREATE TABLE item_write (id bigserial PRIMARY KEY, item_id int NOT NULL, old int NOT NULL, new int NOT NULL);
CREATE FUNCTION log_item_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO item_write (item_id, old, new) VALUES (NEW.id, OLD.stock, NEW.stock);
  RETURN NULL;
END $$;
CREATE TRIGGER log_item_write AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION log_item_write();`

const FILLING = {
  id: 'pause-test',
  async fill(database: pg.ClientBase) {
    await fillItems(database, SECTIONS, 0)
    await database.query(LOG)
  },
}

/** The operation that the scenario can stop in the middle; undefined for a contender that has none. */
export function pauseOperationOf({ operations }: Contender): PauseOperation | undefined {
  return (['critical', 'readChangeWrite', 'move'] as const).find((name) => operations.includes(name))
}

/** Only in a critical section is the thinking the caller's; elsewhere both moments are the same. */
export function momentsOf(operation: PauseOperation): PauseTestResult['moment'][] {
  return operation === 'critical' ? ['thinking', 'writing'] : ['writing']
}

export interface PauseEnvironment extends Pick<Environment, 'servers' | 'folder'> {
  readonly databases: Pick<Databases, 'create' | 'drop'>
  readonly interrupted: AbortSignal
}

/** Makes the database that each run gets a copy of. */
export async function prepareDatabases({ databases }: PauseEnvironment): Promise<void> {
  await databases.drop((await databases.create(FILLING, false)).name)
}

/** Never rejects because of the contender. */
export async function pauseHolder(
  { databases, servers, folder, interrupted }: PauseEnvironment,
  contender: Contender,
  operation: PauseOperation,
  moment: PauseTestResult['moment'],
): Promise<PauseTestResult> {
  const database = await databases.create(FILLING, false)
  const holder = new PauseProcess()
  const other = new PauseProcess()
  const end = () => void Promise.all([holder.end(), other.end()])
  interrupted.addEventListener('abort', end)
  try {
    await contender.prepare?.(database.url)
    const env = { databaseUrl: database.url, poolSize: POOL_SIZE, servers, folder }
    await settled(
      [holder, other].map((process, processIndex) =>
        process.ask(
          {
            kind: 'open',
            contender: contender.id,
            operation,
            itemIds: ITEM_IDS,
            env: { ...env, processIndex },
          },
          'opened',
          PATIENCE,
        ),
      ),
    )
    // Once without a pause, so that nobody is late because of what is done only once.
    for (const process of [holder, other]) await process.ask({ kind: 'work', again: PATIENCE }, 'worked', 2 * PATIENCE)

    await holder.ask({ kind: 'work', stopAt: moment, again: 0 }, 'stopping', PATIENCE)
    await holder.stopped()
    const stoppedAt = performance.now()
    const late = holder.hear('worked', STOPPED + PATIENCE)
    const meanwhile = other.ask({ kind: 'work', again: STOPPED + PATIENCE }, 'worked', STOPPED + 2 * PATIENCE)
    await Promise.race([sleep(STOPPED), rejection(meanwhile)])
    const stoppedMilliseconds = Math.round(performance.now() - stoppedAt)
    holder.goOn()
    const [{ calls: lateCalls }, { calls: otherCalls }] = await settled([late, meanwhile])

    const verdict = await onDatabase(database.url, (client) => judge(client, lateCalls, otherCalls))
    return { contender: contender.id, moment, rounds: SECTIONS, stoppedMilliseconds, ...verdict }
  } catch (error) {
    interrupted.throwIfAborted()
    const nothing = { corrupted: 0, refusedLateWrites: 0, toldTooLate: 0, told: [], othersFailed: 0, othersTold: [] }
    return {
      ...{ contender: contender.id, moment, rounds: 0, stoppedMilliseconds: 0, othersWaitedMilliseconds: 0 },
      ...nothing,
      error: failureMessage(error),
    }
  } finally {
    interrupted.removeEventListener('abort', end)
    await Promise.all([holder.end(), other.end()])
    await databases.drop(database.name).catch((error: unknown) => {
      if (!interrupted.aborted) throw error // otherwise the server has already gone, and the database with it
    })
  }
}

async function judge(database: pg.ClientBase, late: readonly CallReport[], others: readonly CallReport[]) {
  const { rows } = await database.query<{ itemId: number; writes: number; wrong: number }>(
    `SELECT item_id AS "itemId", count(*)::int AS writes, (count(*) FILTER (WHERE new <> old + 1))::int AS wrong
FROM item_write
GROUP BY item_id`,
  )
  let [refusedLateWrites, toldTooLate] = [0, 0]
  for (const [index, { isDone }] of late.entries()) {
    if (isDone) continue
    // Both processes have written once before, and the other one again.
    const before = others[index]?.isDone ? 3 : 2
    const writes = rows.find(({ itemId }) => itemId === ITEM_IDS[index])?.writes ?? 0
    if (writes > before) toldTooLate++
    else refusedLateWrites++
  }
  return {
    corrupted: rows.reduce((sum, { wrong }) => sum + wrong, 0),
    refusedLateWrites,
    toldTooLate,
    told: textsOf(late),
    othersWaitedMilliseconds: Math.round(Math.max(...others.map(({ milliseconds }) => milliseconds))),
    othersFailed: others.reduce((sum, { failures }) => sum + failures.length, 0),
    othersTold: textsOf(others),
  }
}

function textsOf(calls: readonly CallReport[]): string[] {
  return Array.from(new Set(calls.flatMap(({ failures }) => failures)))
}

/** Rejects as the promise does, and never resolves. */
function rejection(promise: Promise<unknown>): Promise<never> {
  return promise.then(
    () => new Promise<never>(() => {}),
    (error: unknown) => {
      throw error
    },
  )
}

/** Like `Promise.all`, but when it rejects, the others have ended. */
async function settled<T extends readonly Promise<unknown>[]>(promises: T): Promise<{ [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(promises)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  }) as { [K in keyof T]: Awaited<T[K]> }
}
