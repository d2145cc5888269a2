import { ConfigurationError } from '../errors/index.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { readDataModel } from '../prisma/data-model.js'
import { versionColumnsOf } from '../prisma/version-columns.js'
import { columnOf, quoted, tableOf } from '../sql/sql.js'
import { type VersionedModel, VersionedModels } from './versioned-models.js'

/** PostgreSQL cuts longer names off (NAMEDATALEN − 1), and two functions could then share one. */
const LONGEST_NAME = 63

/**
 * SQL for a migration that makes PostgreSQL itself bump the version of a model, whoever writes:
 * raw SQL, another ORM, a cascade. It adds 1 whenever an UPDATE leaves the version as it is or
 * sets it back, so writes that bump it themselves are bumped once, not twice. Can be run again.
 *
 * @param client any PrismaClient of the schema, extended or not
 * @param model the model's name, such as `Product`
 * @param options `field`: the version column's field, of a client without `concurrency()` that has
 *   another one than `version`. An extended client knows its version columns.
 * @throws ConfigurationError if the model has no such version column, or `concurrency()` another one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_version_trigger/migration.sql', versionTriggerSql(db, 'Product'))
 *
 * Source: PostgreSQL manual, "39.1. Overview of Trigger Behavior".
 */
export function versionTriggerSql(client: object, model: string, options: { readonly field?: string } = {}): string {
  const versioned = versionedModel(client, model, options.field)
  const table = tableOf(versioned.model)
  const column = columnOf(versioned.version)
  const name = `concurrency_bump_${versioned.version.column}`
  if (new TextEncoder().encode(name).length > LONGEST_NAME || column.includes('$bump$')) {
    throw new ConfigurationError([{ path: 'field', message: `no trigger can be named after the column ${column}` }])
  }
  const bump = `${quoted(versioned.model.schema)}.${quoted(name)}`
  return `-- Adds 1 to ${column} of ${table} on every UPDATE that does not raise it itself.
CREATE OR REPLACE FUNCTION ${bump}() RETURNS trigger LANGUAGE plpgsql AS $bump$
BEGIN
  NEW.${column} := OLD.${column} + 1;
  RETURN NEW;
END
$bump$;

CREATE OR REPLACE TRIGGER ${quoted(name)}
BEFORE UPDATE ON ${table}
FOR EACH ROW WHEN (NEW.${column} <= OLD.${column})
EXECUTE FUNCTION ${bump}();
`
}

function versionedModel(client: object, model: string, field: string | undefined): VersionedModel {
  const known = versionColumnsOf(client)
  if (known instanceof VersionedModels && field === undefined) return known.require(model)
  const own = known?.fieldOf(model)
  if (own !== undefined && own !== field) {
    const message = own === false ? 'no version column' : `the version column ${own}`
    throw new ConfigurationError([
      { path: 'field', message: `is ${field}, but to concurrency() ${model} has ${message}` },
    ])
  }
  const settings = field === undefined ? {} : { models: { [model]: { field } } }
  return new VersionedModels(readDataModel(client as PrismaClientLike), settings).require(model)
}
