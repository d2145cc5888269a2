import type { Model } from '../engine/data-model.js'
import { setupOf } from '../engine/setup.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import { keyText } from '../sql/key-text.js'
import { columnOf, literal, quoted, tableOf } from '../sql/sql.js'
import { HELD_LEASES } from '../transactions/fence.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import type { LeaseMap } from './mapping.js'

export interface LeaseFenceOptions {
  /** The name of the lease, as `$withLease` has it. */
  readonly lease: string
}

const optionsSchema = s.strictObject({ lease: keyTextSchema })

/** PostgreSQL cuts longer names off (NAMEDATALEN − 1). */
const LONGEST_NAME = 63

const TRIGGER = 'concurrency_lease_fence'

/**
 * SQL for a migration that makes PostgreSQL refuse every write to a table that does not come from the holder of a lease,
 * whoever writes: raw SQL, another program, psql. Can be run again; with another lease it replaces the one before.
 *
 * A transaction with `$assertLease`, and a write with `fence: lease`, are let through. Another program says in its
 * transaction which lease it holds, with what the holder has given it:
 * `SELECT set_config('prisma_extension_concurrency.leases', '{"rebuild": {"token": "7", "holder": "…"}}', true)`.
 *
 * @param client a client with `leases()`
 * @param model the name of the model whose table is guarded, such as `Product`
 * @throws ConfigurationError if the client has no `leases()`
 * @throws InvalidArgumentError that names the field, also if there is no such model
 *
 * @example
 * const sql = leaseFenceTriggerSql(db, 'Note', { lease: 'rebuild' })
 * await writeFile('prisma/migrations/20260101000000_fence/migration.sql', sql)
 */
export function leaseFenceTriggerSql(client: object, model: string, options: LeaseFenceOptions): string {
  const { lease } = checkArguments(optionsSchema, options)
  const setup = setupOf(client)
  const map = setup?.features.find(({ name }) => name === 'leases')?.map as LeaseMap | undefined
  if (map === undefined) {
    throw new ConfigurationError([{ path: 'client', message: 'has no leases(): extend it before' }])
  }
  const guarded = setup?.dataModel.get(model)
  if (guarded === undefined) throw new InvalidArgumentError('model', 'is not a model of the client.')
  return triggerSql(map, guarded, keyText(lease, map.name, 'lease'))
}

/**
 * A trigger of the statement: a look for each row would say the same. It locks the row of the lease as `$assertLease` does,
 * so a new holder waits for the transaction. Its function has the rights of its owner, so a writer needs none on the leases.
 */
function triggerSql(map: LeaseMap, guarded: Model, lease: string): string {
  const { model, name, token, holder } = map
  const own = `concurrency_fence_${model.table}`
  if (new TextEncoder().encode(own).length > LONGEST_NAME || model.table.includes('$fence$')) {
    throw new ConfigurationError([{ path: 'client', message: `no function can be named after ${model.table}` }])
  }
  const check = `${quoted(model.schema)}.${quoted(own)}`
  const table = tableOf(guarded)
  return `-- Refuses every write to ${table} that does not come from the holder of the lease.
CREATE OR REPLACE FUNCTION ${check}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fence$
DECLARE
  proof jsonb := nullif(current_setting('${HELD_LEASES}', true), '')::jsonb -> TG_ARGV[0];
BEGIN
  PERFORM FROM ${tableOf(model)} AS l
  WHERE l.${columnOf(name)} = TG_ARGV[0]
    AND l.${columnOf(token)} = (proof->>'token')::int8
    AND l.${columnOf(holder)}::text = proof->>'holder'
  FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease % is not held by this transaction', quote_literal(TG_ARGV[0])
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Call tx.$assertLease(lease), or set ${HELD_LEASES} to the token and the holder of the lease.';
  END IF;
  RETURN NULL;
END
$fence$;

CREATE OR REPLACE TRIGGER ${quoted(TRIGGER)}
BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${table}
FOR EACH STATEMENT EXECUTE FUNCTION ${check}(${literal(lease)});
`
}
