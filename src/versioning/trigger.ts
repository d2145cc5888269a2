import type { Field } from '../engine/data-model.js'
import { ConfigurationError } from '../errors/index.js'
import { columnOf, quoted, tableOf } from '../sql/sql.js'
import type { VersionedTable } from './contract.js'

/** PostgreSQL cuts longer names off (NAMEDATALEN − 1), and two functions could then share one. */
const LONGEST_NAME = 63

/** The trigger, and its function, are called after the column: one function does for all tables with such a column. */
export function triggerName({ column }: Pick<Field, 'column'>): string {
  return `concurrency_bump_${column}`
}

/** The body of the function, as `pg_proc` keeps it. */
export function bumpFunctionBody(version: Pick<Field, 'column'>): string {
  const column = columnOf(version)
  return `
BEGIN
  NEW.${column} := OLD.${column} + 1;
  RETURN NEW;
END
`
}

/** The SQL of `versionTriggerSql`. */
export function triggerSql(versioned: VersionedTable): string {
  const table = tableOf(versioned.model)
  const column = columnOf(versioned.version)
  const name = triggerName(versioned.version)
  if (new TextEncoder().encode(name).length > LONGEST_NAME || column.includes('$bump$')) {
    throw new ConfigurationError([{ path: 'field', message: `no trigger can be named after the column ${column}` }])
  }
  const bump = `${quoted(versioned.model.schema)}.${quoted(name)}`
  return `-- Adds 1 to ${column} of ${table} on every UPDATE that does not raise it itself.
CREATE OR REPLACE FUNCTION ${bump}() RETURNS trigger LANGUAGE plpgsql AS $bump$${bumpFunctionBody(versioned.version)}$bump$;

CREATE OR REPLACE TRIGGER ${quoted(name)}
BEFORE UPDATE ON ${table}
FOR EACH ROW WHEN (NEW.${column} <= OLD.${column})
EXECUTE FUNCTION ${bump}();
`
}
