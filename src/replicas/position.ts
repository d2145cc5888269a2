import { rowOf, type Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'

/** A place in the WAL of the primary. */
export interface Position {
  readonly timeline: number
  readonly lsn: string
}

const FORM = /^([1-9]\d{0,9}):([0-9A-F]{1,8}\/[0-9A-F]{1,8})$/

/** @throws InvalidArgumentError for anything else than a text of `readPosition` */
export function parsePosition(at: unknown): Position {
  const [, timeline, lsn] = (typeof at === 'string' && FORM.exec(at)) || []
  if (lsn === undefined) throw new InvalidArgumentError('at', 'must be what $at has given.')
  return { timeline: Number(timeline), lsn }
}

/**
 * The end of the WAL, and its timeline. The record of a commit is in the WAL before its caller is answered, so this is behind
 * every commit that was answered before; not the place up to which it is flushed, which a commit that does not wait for
 * that (`synchronous_commit = off`) may not have reached.
 */
export async function readPosition(session: Session): Promise<string> {
  const { lsn, timeline } = await rowOf<{ lsn: string | null; timeline: number | null }>(session, {
    text: `
SELECT
  lsn::text AS lsn,
  ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int AS timeline
FROM (
  SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END AS lsn
) AS now`,
    values: [],
  })
  if (lsn !== null) return `${timeline}:${lsn}`
  throw new ConfigurationError([
    { path: '', message: 'the client is connected to a replica: $at is asked of the primary' },
  ])
}
