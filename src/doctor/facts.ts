import type { DataModel, Model } from '../engine/data-model.js'
import { type RootSession, rowOf } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { Catalogue, type Table } from '../sql/catalogue.js'
import { param, raw, sql } from '../sql/statement.js'
import type { Privilege } from './needs.js'

/** A setting of the server, as the session has it. */
export interface Setting {
  readonly name: SettingName
  /** In ms, or in words. */
  readonly value: string
  /** Where it is set, in the words of `pg_settings`: `database`, `user`, `client`, `configuration file`, … */
  readonly source: string
}

export type SettingName = (typeof SETTINGS)[number]

const SETTINGS = [
  'default_transaction_isolation',
  'default_transaction_read_only',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_timeout',
] as const

/** The facts about the server, and about the session's role in it. */
export interface ServerFacts {
  /** Such as 150004. */
  readonly version: number
  readonly database: string
  readonly role: string
  readonly isInRecovery: boolean
  /** Whether its transactions cannot write. */
  readonly isReadOnly: boolean
  /** Whether the session itself may make temporary tables. */
  readonly hasTemporary: boolean
  /** How old the connection to the server is, in ms. Behind a pooler it can be older than the process. */
  readonly connectionAge: number
  readonly settings: readonly Setting[]
}

/** The facts about a table beyond those that calls need. */
export interface TableFacts extends Table {
  /** Its columns that have a value where an INSERT leaves them out. */
  readonly defaults: ReadonlySet<string>
  readonly privileges: ReadonlySet<Privilege>
  readonly triggers: readonly TriggerFacts[]
  readonly foreignKeys: readonly ForeignKeyFacts[]
}

export interface ForeignKeyFacts {
  /** The table that it refers to. */
  readonly schema: string
  readonly table: string
  /** Its columns, each with the one that it refers to. */
  readonly columns: readonly (readonly [own: string, foreign: string])[]
}

export interface TriggerFacts {
  readonly name: string
  readonly isEnabled: boolean
  /** As PostgreSQL writes it: `CREATE TRIGGER …`. */
  readonly definition: string
  /** The text of its function. */
  readonly body: string
}

/** All that the checks know of the database. They ask it nothing themselves. */
export interface DatabaseFacts {
  readonly server: ServerFacts
  /** By the models' names. A model without a table is not among them. */
  readonly tables: ReadonlyMap<string, TableFacts>
}

/** @param role whose privileges are asked for; default: the session's own */
export async function readFacts(session: RootSession, models: DataModel, role?: string): Promise<DatabaseFacts> {
  const server = await readServer(session, role)
  const all = [...models.values()]
  const catalogue = new Catalogue()
  try {
    await catalogue.load(all, session)
  } catch (error) {
    // It knows the tables that are there.
    if (!isConcurrencyError(error, 'CONFIGURATION')) throw error
  }
  const details = await readDetails(session, all, server.role)
  const tables = new Map<string, TableFacts>()
  all.forEach((model, index) => {
    const table = catalogue.known(model)
    const own = details.find(({ position }) => position === index + 1)
    if (!table || !own) return
    const { position: _, defaults, privileges, ...others } = own
    tables.set(model.name, { ...table, ...others, defaults: new Set(defaults), privileges: new Set(privileges) })
  })
  return { server, tables }
}

function readServer(session: RootSession, role: string | undefined): Promise<ServerFacts> {
  return rowOf<ServerFacts>(
    session,
    sql`SELECT current_setting('server_version_num')::int AS version, current_database()::text AS database,
  ${role === undefined ? raw('current_user::text') : param(role, 'text')} AS role, pg_is_in_recovery() AS "isInRecovery",
  pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS "isReadOnly",
  has_database_privilege(current_database(), 'TEMPORARY') AS "hasTemporary",
  coalesce((
    SELECT extract(epoch FROM clock_timestamp() - a.backend_start) * 1000
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.pid = pg_backend_pid()
  ), 0)::float8 AS "connectionAge",
  (
    SELECT jsonb_agg(jsonb_build_object('name', s.name, 'value', s.setting, 'source', s.source))
    FROM pg_catalog.pg_settings AS s
    WHERE s.name = ANY (${param([...SETTINGS], 'text[]')})
  ) AS settings`,
  )
}

interface DetailsRow {
  readonly position: number
  readonly defaults: readonly string[]
  readonly privileges: readonly Privilege[]
  readonly triggers: readonly TriggerFacts[]
  readonly foreignKeys: readonly ForeignKeyFacts[]
}

/**
 * A privilege on a column counts, since a role may have those alone that it needs. A trigger that is disabled, or fires
 * on replicas only (`R`), does not fire here.
 */
async function readDetails(session: RootSession, models: readonly Model[], role: string): Promise<DetailsRow[]> {
  const schemas = param(
    models.map(({ schema }) => schema),
    'text[]',
  )
  const names = param(
    models.map(({ table }) => table),
    'text[]',
  )
  return session.rows<DetailsRow>(sql`SELECT given.position::int, (
  SELECT coalesce(jsonb_agg(a.attname), '[]'::jsonb)
  FROM pg_catalog.pg_attribute AS a
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.atthasdef OR a.attidentity <> '')
) AS defaults, (
  SELECT coalesce(jsonb_agg(p.name), '[]'::jsonb)
  FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS p(name)
  WHERE CASE WHEN p.name = 'DELETE' THEN has_table_privilege(${param(role, 'text')}, c.oid, p.name)
    ELSE has_any_column_privilege(${param(role, 'text')}, c.oid, p.name) END
) AS privileges, (
  SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', g.tgname,
    'isEnabled', g.tgenabled IN ('O', 'A'),
    'definition', pg_get_triggerdef(g.oid),
    'body', f.prosrc
  ) ORDER BY g.tgname), '[]'::jsonb)
  FROM pg_catalog.pg_trigger AS g
  JOIN pg_catalog.pg_proc AS f ON f.oid = g.tgfoid
  WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
) AS triggers, (
  SELECT coalesce(jsonb_agg(jsonb_build_object('schema', s.nspname, 'table', o.relname, 'columns', (
    SELECT jsonb_agg(jsonb_build_array(a.attname, b.attname))
    FROM unnest(k.conkey, k.confkey) AS pair(own, foreign_one)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = pair.own
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = pair.foreign_one
  ))), '[]'::jsonb)
  FROM pg_catalog.pg_constraint AS k
  JOIN pg_catalog.pg_class AS o ON o.oid = k.confrelid
  JOIN pg_catalog.pg_namespace AS s ON s.oid = o.relnamespace
  WHERE k.conrelid = c.oid AND k.contype = 'f'
) AS "foreignKeys"
FROM unnest(${schemas}, ${names}) WITH ORDINALITY AS given(schema, name, position)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = given.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = given.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`)
}
