import type { RootSession } from '../engine/session.js'
import type { ClientSetup } from '../engine/setup.js'
import { ConcurrencyCheckError, type Finding, type Severity } from '../errors/index.js'
import * as s from '../values/schema.js'
import { checkArguments, nameSchema } from '../values/validation.js'
import { readCapabilities, tryCapabilities } from './capabilities.js'
import { readFacts } from './facts.js'
import { checkForeignKeys } from './foreign-keys.js'
import { checkKeys } from './keys.js'
import { needsOf } from './needs.js'
import { checkPool, type PoolerFacts } from './pool.js'
import { checkPrivileges } from './privileges.js'
import { checkSettings } from './settings.js'
import { checkShards } from './shards.js'
import { checkSlots } from './slots.js'
import { checkTables } from './tables.js'
import { checkTriggers } from './triggers.js'
import type { CheckConcurrencyOptions, DatabaseCapabilities } from './types.js'
import { checkVersions } from './versions.js'

/** Facts and wishes that the command alone has. */
export interface CheckExtras {
  /** The session that the database is looked at by, where it is not that of the client. */
  readonly session?: RootSession | undefined
  readonly pooler?: PoolerFacts | undefined
  /** The role whose privileges are checked, where it is not that of the connection. */
  readonly role?: string | undefined
  /** The schema for a short-lived table, on which the capabilities are tried that two sessions need one for. */
  readonly probeSchema?: string | undefined
}

/**
 * All findings about the database and the settings of a client, the worst first.
 *
 * @throws ConcurrencyCheckError if that is asked for, and there is an error among them
 */
export async function checkSetup(
  setup: ClientSetup,
  options: CheckConcurrencyOptions = {},
  { session = setup.session, pooler, role, probeSchema }: CheckExtras = {},
): Promise<readonly Finding[]> {
  const given = checkArguments(optionsSchema, options)
  const needs = needsOf(setup)
  const facts = await readFacts(session, setup.dataModel, role)
  const schemaSql = await setup.schemaSql?.()
  const findings = [
    ...checkTables(setup, needs, facts, schemaSql),
    ...checkKeys(needs, facts),
    ...checkShards(setup, facts),
    ...checkForeignKeys(setup, facts, schemaSql),
    ...checkVersions(setup, facts),
    ...checkTriggers(setup, given.triggers ?? [], facts),
    ...checkPrivileges(needs, facts),
    ...checkSettings(setup, facts),
    ...checkPool(setup, facts.server, pooler),
    ...(await checkSlots(setup, session)),
    ...(await tryCapabilities(session, facts.server, probeSchema)),
  ].sort((one, other) => ORDER.indexOf(one.severity) - ORDER.indexOf(other.severity))
  if (given.throw && findings.some(({ severity }) => severity === 'error')) throw new ConcurrencyCheckError(findings)
  return findings
}

/** The behaviours of the database, as they are tried now. */
export function capabilitiesOf({ session }: ClientSetup): Promise<DatabaseCapabilities> {
  return readCapabilities(session)
}

const optionsSchema = s.strictObject({
  throw: s.optional(s.boolean()),
  triggers: s.optional(s.array(nameSchema('a model'))),
})

const ORDER: readonly Severity[] = ['error', 'warning', 'info']
