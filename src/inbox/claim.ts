import type { TransactionSession } from '../engine/session.js'
import { sqlTypeOf, stampColumns, stamps, touches } from '../mapping/columns.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import type { InboxMap, VersionMap } from './mapping.js'

/** A message with its checked parts. */
export interface Incoming {
  /** As it came: it is handed back. */
  readonly given: unknown
  readonly id: string
  readonly guard: { readonly key: string; readonly version: bigint } | undefined
}

/** The messages of a batch, each in one of the lists, in the order in which they came. */
export interface Sorted {
  readonly fresh: readonly Incoming[]
  readonly duplicates: readonly Incoming[]
  readonly outdated: readonly Incoming[]
}

/**
 * Notes the messages as handled, in the transaction that handles them, and tells which of them were not before.
 *
 * Of two calls with one message the second waits at the unique key until the first has ended: it finds a duplicate if that
 * was committed, and notes the message itself if it was rolled back. All insert in the order of the ids, so two batches
 * that have messages in common do not deadlock.
 */
export async function claim(
  tx: TransactionSession,
  map: InboxMap,
  consumer: string,
  messages: readonly Incoming[],
): Promise<Sorted> {
  await map.keys.check(tx)
  const noted = await noteIds(tx, map, consumer, messages)
  const fresh: Incoming[] = []
  const duplicates: Incoming[] = []
  // Of two in the batch with one id the first is handled.
  for (const message of messages) (noted.delete(message.id) ? fresh : duplicates).push(message)
  const { version } = map
  if (version === undefined || fresh.every(({ guard }) => guard === undefined))
    return { fresh, duplicates, outdated: [] }
  return { ...(await passVersions(tx, version, consumer, fresh)), duplicates }
}

async function noteIds(
  tx: TransactionSession,
  { message }: InboxMap,
  consumer: string,
  messages: readonly Incoming[],
): Promise<Set<string>> {
  const [own, id] = [columnOf(message.consumer), columnOf(message.messageId)]
  const ids = param(
    messages.map((each) => each.id),
    `${sqlTypeOf(message.messageId)}[]`,
  )
  const rows = await tx.rows<{
    id: string
  }>(sql`INSERT INTO ${message.table} AS m (${own}, ${id}, ${columnOf(message.handledAt)}${stampColumns(message.updatedAt)})
SELECT ${param(consumer, 'text')}, given.id, ${momentOf(message.handledAt)}${stamps(message.updatedAt)}
FROM (SELECT DISTINCT id FROM unnest(${ids}) AS id ORDER BY id) AS given
ON CONFLICT (${own}, ${id}) DO NOTHING
RETURNING m.${id}::text AS id`)
  return new Set(rows.map((row) => row.id))
}

/** No message has a version below 0, so each is higher than that of a key that is new. */
const NONE = -1n

/**
 * Compares each version with that of the message of its key before it: in the batch, or the last one that was handled. The
 * rows of the keys are locked for that, in one order, until the transaction ends.
 */
async function passVersions(
  tx: TransactionSession,
  versions: VersionMap,
  consumer: string,
  messages: readonly Incoming[],
): Promise<Pick<Sorted, 'fresh' | 'outdated'>> {
  const last = await lockVersions(tx, versions, consumer, [
    ...new Set(messages.flatMap(({ guard }) => guard?.key ?? [])),
  ])
  const fresh: Incoming[] = []
  const outdated: Incoming[] = []
  const higher = new Map<string, bigint>()
  for (const message of messages) {
    const { guard } = message
    if (guard && guard.version <= (higher.get(guard.key) ?? last.get(guard.key) ?? NONE)) {
      outdated.push(message)
      continue
    }
    if (guard) higher.set(guard.key, guard.version)
    fresh.push(message)
  }
  if (higher.size > 0) await writeVersions(tx, versions, consumer, higher)
  return { fresh, outdated }
}

async function lockVersions(tx: TransactionSession, versions: VersionMap, consumer: string, keys: readonly string[]) {
  const { table, updatedAt } = versions
  const [own, key, current] = [columnOf(versions.consumer), columnOf(versions.key), columnOf(versions.current)]
  const rows = await tx.rows<{
    key: string
    version: bigint
  }>(sql`INSERT INTO ${table} AS v (${own}, ${key}, ${current}${stampColumns(updatedAt)})
SELECT ${param(consumer, 'text')}, given.key, ${param(String(NONE), 'int8')}${stamps(updatedAt)}
FROM (SELECT key FROM unnest(${param(keys, 'text[]')}) AS key ORDER BY key) AS given
ON CONFLICT (${own}, ${key}) DO UPDATE SET ${current} = v.${current}
RETURNING v.${key} AS key, v.${current}::int8 AS version`)
  return new Map(rows.map((row) => [row.key, row.version]))
}

async function writeVersions(
  tx: TransactionSession,
  versions: VersionMap,
  consumer: string,
  higher: ReadonlyMap<string, bigint>,
): Promise<void> {
  const { table, current } = versions
  await tx.rows(sql`UPDATE ${table} AS v SET ${columnOf(current)} = given.version${touches(versions, 'v')}
FROM unnest(${param([...higher.keys()], 'text[]')}, ${param([...higher.values()].map(String), 'int8[]')}) AS given(key, version)
WHERE v.${columnOf(versions.consumer)} = ${param(consumer, 'text')} AND v.${columnOf(versions.key)} = given.key`)
}
