import { isUnsupported } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { UnsupportedDatabaseError } from '../errors/index.js'

/**
 * A column: whether the role may run the block that tries it, and its COMMIT waits for nobody. The block writes WAL, and a
 * transaction that only reads would wait for a synchronous standby that is away. Where it is false, the level is believed.
 */
export const CAN_TRY = `coalesce(current_setting('synchronous_standby_names', true), '') = '' AND EXISTS (
  SELECT FROM pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE')
) AS can_try`

const SAME_SNAPSHOT = 'the snapshot is that of the transaction'

/**
 * A subtransaction with an id ends, by itself, so every snapshot that is taken after it is another one. Each expression of
 * a block has a snapshot of its own at READ COMMITTED (manual, "38.7. Function Volatility Categories").
 */
const NEW_SNAPSHOT = `DO $$
DECLARE
  before text := pg_current_snapshot()::text;
BEGIN
  BEGIN
    PERFORM pg_logical_emit_message(true, '', '');
    RAISE EXCEPTION 'ends the subtransaction';
  EXCEPTION
    WHEN raise_exception THEN NULL;
    WHEN insufficient_privilege OR undefined_function THEN RETURN; -- it cannot be tried
  END;
  IF pg_current_snapshot()::text = before THEN
    RAISE EXCEPTION '${SAME_SNAPSHOT}' USING ERRCODE = 'feature_not_supported';
  END IF;
END
$$`

/**
 * Tries whether a statement of this transaction sees what ended before it. Some engines say READ COMMITTED, and keep the
 * snapshot of the transaction.
 *
 * @throws UnsupportedDatabaseError if it does not
 */
export async function tryNewSnapshot(tx: Session): Promise<void> {
  await tx.rows({ text: NEW_SNAPSHOT, values: [] }).catch((error: unknown) => {
    if (!isUnsupported(error)) throw error
    throw new UnsupportedDatabaseError(
      'This database says READ COMMITTED, and its statements do not see what was committed before them: what was done under a lock until now would not be seen by its next holder.',
      { cause: error },
    )
  })
}

/**
 * The same for a transaction of any level.
 *
 * @returns whether its level is READ COMMITTED
 * @throws UnsupportedDatabaseError if the level is said, and not kept
 */
export async function hasNewSnapshots(tx: Session): Promise<boolean> {
  const text = `SELECT current_setting('transaction_isolation') AS level,
  ${CAN_TRY}`
  const facts = await rowOf<{ level: string; can_try: boolean }>(tx, { text, values: [] })
  // To PostgreSQL the two are one.
  if (!['read committed', 'read uncommitted'].includes(facts.level)) return false
  if (facts.can_try) await tryNewSnapshot(tx)
  return true
}
