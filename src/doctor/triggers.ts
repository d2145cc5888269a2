import type { Model } from '../engine/data-model.js'
import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { ConfigurationError } from '../errors/index.js'
import { quoted, tableOf } from '../sql/sql.js'
import { bumpFunctionBody, triggerName, triggerSql } from '../versioning/trigger.js'
import type { DatabaseFacts } from './facts.js'
import { versionOf } from './versions.js'

/**
 * The triggers that bump versions: those that are there must work, and those that are wanted must be there. A trigger is
 * wanted where the client leaves plain writes to it (`bumpPlainWrites: false`), and where the caller says so.
 *
 * @throws ConfigurationError if one is wanted of a model without a version column
 */
export function checkTriggers(
  { dataModel, options: { version } }: ClientSetup,
  wanted: readonly string[],
  { tables }: DatabaseFacts,
): Finding[] {
  const isVersioned = (model: Model | undefined) => model !== undefined && versionOf(model) !== undefined
  const unversioned = wanted.find((name) => !isVersioned(dataModel.get(name)))
  if (unversioned !== undefined) {
    const message = `${unversioned} is no model with a version column, so it has no trigger`
    throw new ConfigurationError([{ path: 'triggers', message }])
  }
  return Array.from(dataModel.values()).flatMap((model) => {
    const own = version?.models?.[model.name] || version
    const bumpsPlainWrites = own?.bumpPlainWrites ?? version?.bumpPlainWrites ?? true
    return checkTrigger(model, wanted.includes(model.name) || !bumpsPlainWrites, tables)
  })
}

function checkTrigger(model: Model, isWanted: boolean, tables: DatabaseFacts['tables']): Finding[] {
  const version = versionOf(model)
  const facts = tables.get(model.name)
  if (!version || !facts?.columns.has(version.column)) return []
  const name = triggerName(version)
  const found = facts.triggers.find((trigger) => trigger.name === name)
  const where = `${tableOf(model)}, trigger ${quoted(name)}`
  const sql = triggerSql({ model, version })
  if (found === undefined) {
    if (!isWanted) return []
    const what = 'The trigger that bumps the version is not in the database'
    return [{ severity: 'error', code: 'TRIGGER_MISSING', where, what, cost: COST, sql }]
  }
  if (!found.isEnabled) {
    const enable = `ALTER TABLE ${tableOf(model)} ENABLE TRIGGER ${quoted(name)};`
    const what = 'The trigger that bumps the version is disabled'
    return [{ severity: 'error', code: 'TRIGGER_DISABLED', where, what, cost: COST, sql: enable }]
  }
  const isOfThisVersion = found.body.trim() === bumpFunctionBody(version).trim() && FORM.test(found.definition)
  if (isOfThisVersion) return []
  const what = 'The trigger that bumps the version is not the one of this version of the package'
  return [{ severity: 'warning', code: 'TRIGGER_OUTDATED', where, what, cost: COST, sql }]
}

const COST = 'Writes past the client leave the version as it is: a versioned write then overwrites what they wrote'
const FORM = /^CREATE TRIGGER .* BEFORE UPDATE ON .* FOR EACH ROW WHEN \(\(new\..* <= old\..*\)\) EXECUTE FUNCTION /s
