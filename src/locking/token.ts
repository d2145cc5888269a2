import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { LockMode } from '../sync/keyed-lock.js'

/*
 * The token of a holder is the id of its transaction. PostgreSQL counts ids up, and a lock is free only when the
 * transaction of its holder is over. So where the id is given after the lock was granted, and not before, it is higher
 * than those of all holders before. Callers of one process that queue for a key have a transaction each, so this holds for
 * them as for those of other processes.
 */

const ID = 'pg_current_xact_id()'

/** The id, as the column of a `TransactionNote`. */
export const XID = `${ID}::text AS xid`

const MESSAGE = `pg_logical_emit_message(true, 'prisma-extension-concurrency', '')`

/**
 * WAL of the transaction, which its COMMIT waits for: until it is on the disk, and at a synchronous standby. The id of a
 * transaction that has left no WAL is given once more after a crash.
 */
export const FOR_TOKEN = `${MESSAGE}::text AS written`

/** The same columns, which give the transaction an id only once all locks are taken: CASE computes it after `min`. */
export function whenTaken(columns: string): string {
  const after = (text: string, call: string) => text.replace(call, `CASE WHEN min(taken) <> 'false' THEN ${call} END`)
  return after(after(columns, ID), MESSAGE)
}

/** A branch of CASE, so that no lock is taken where the transaction has an id already. */
export function hasIdAlready(answer: string): string {
  return `WHEN pg_current_xact_id_if_assigned() IS NOT NULL THEN '${answer}'
    `
}

/** Throws where no holder of the lock can have a token. */
export function checkToken(session: Session, mode: LockMode): void {
  if (mode === 'shared') {
    throw new InvalidArgumentError(
      'token',
      'is for exclusive locks: holders of a shared one do not come one after the other.',
    )
  }
  if (session.inTransaction) {
    throw new InvalidArgumentError(
      'token',
      'needs a transaction that begins with the lock, and this one may be older: call $withAdvisoryLock on the client, or take a lease.',
    )
  }
}

/** The error of a database, or a role, that cannot give tokens. */
export function noToken(cause: unknown): ConfigurationError {
  const message =
    'needs the functions pg_current_xact_id() and pg_logical_emit_message(), which this database does not have, or does not let this role call.'
  return new ConfigurationError([{ path: 'token', message }], { cause })
}
