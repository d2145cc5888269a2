import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { quoted } from '../sql/sql.js'
import type { DatabaseFacts, ServerFacts, Setting } from './facts.js'

const OLDEST = 140_000
const NEWEST = 190_000

/** The server's version, and the settings that each session begins with. */
export function checkSettings({ options }: ClientSetup, { server }: DatabaseFacts): Finding[] {
  const deadline = options.retry?.deadline ?? DEFAULT_POLICY.deadline
  return [...checkVersion(server), ...checkRecovery(server)].concat(
    server.settings.flatMap((setting) => checkSetting(setting, deadline, server)),
  )
}

function checkVersion({ version }: ServerFacts): Finding[] {
  if (version >= OLDEST && version < NEWEST) return []
  const number = `${Math.floor(version / 10_000)}`
  const isOld = version < OLDEST
  return [
    {
      severity: isOld ? 'error' : 'info',
      code: 'SERVER_VERSION',
      where: 'server_version',
      what: `The server is PostgreSQL ${number}; the package is tested with 14 to 18`,
      cost: isOld ? 'Statements use what came with 14' : 'None that is known',
      sql: undefined,
    },
  ]
}

function checkRecovery({ isInRecovery }: ServerFacts): Finding[] {
  if (!isInRecovery) return []
  const what = 'The server is a standby'
  return [{ severity: 'error', code: 'READ_ONLY', where: 'pg_is_in_recovery()', what, cost: NO_WRITE, sql: undefined }]
}

const NO_WRITE = 'Every write fails, and every lock'

/** The shortest limits that do no harm, and the damage of those that are shorter. */
const LIMITS: Readonly<Partial<Record<Setting['name'], string>>> = {
  statement_timeout: 'A statement that waits for a row is ended before the deadline of its call',
  lock_timeout: 'A wait for a row or a lock is ended before the deadline of its call',
  idle_in_transaction_session_timeout: 'A body that computes, or waits for another service, loses its connection',
  transaction_timeout: 'A transaction loses its connection before the deadline of its call',
}

function checkSetting(setting: Setting, deadline: number, server: ServerFacts): Finding[] {
  const { name, value } = setting
  const finding = (made: Pick<Finding, 'severity' | 'code' | 'cost'>, wanted: string): Finding[] => [
    {
      ...made,
      where: name,
      what: `${name} is ${value}${name in LIMITS ? ' ms' : ''}, set by ${setting.source}`,
      sql: mend(setting, wanted, server),
    },
  ]
  if (name === 'default_transaction_isolation') {
    if (value === 'read committed' || value === 'read uncommitted') return []
    const cost =
      'Statements do not see what was committed while they waited: they fail with 40001 under load. Calls send theirs again, and take longer, up to their deadline; transactions of your own fail with it'
    return finding({ severity: 'error', code: 'ISOLATION_DEFAULT', cost }, "'read committed'")
  }
  if (name === 'default_transaction_read_only') {
    return value === 'on' ? finding({ severity: 'error', code: 'READ_ONLY', cost: NO_WRITE }, 'off') : []
  }
  const limit = Number(value)
  if (limit === 0 || limit >= deadline) return []
  return finding({ severity: 'warning', code: 'TIMEOUT_SHORT', cost: LIMITS[name] ?? '' }, `${deadline}`)
}

/** The statement that sets it where it was set. Of a client's own setting there is none: it is in its connection string. */
function mend({ name, source }: Setting, value: string, { database, role }: ServerFacts): string | undefined {
  if (source === 'client' || source === 'session' || source === 'environment variable') return undefined
  if (source === 'user') return `ALTER ROLE ${quoted(role)} SET ${name} = ${value};`
  if (source === 'database user')
    return `ALTER ROLE ${quoted(role)} IN DATABASE ${quoted(database)} SET ${name} = ${value};`
  return `ALTER DATABASE ${quoted(database)} SET ${name} = ${value};`
}
