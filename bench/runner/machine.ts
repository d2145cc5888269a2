/** The machine of the figures, as far as it matters and names nobody. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'
import type pg from 'pg'
import type { DatabaseServer, Machine } from '../result.js'

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  }
}

/** Those settings that decide what a commit costs, how much is in memory, and who may wait for what. */
const SETTINGS = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'wal_level',
  'commit_delay',
  'max_connections',
  'shared_buffers',
  'work_mem',
  'max_wal_size',
  'checkpoint_timeout',
  'default_transaction_isolation',
  'deadlock_timeout',
  'autovacuum',
  'jit',
]

export async function describeServer(database: pg.ClientBase, isEmbedded: boolean): Promise<DatabaseServer> {
  const { rows } = await database.query<{ name: string; value: string }>(
    'SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1)',
    [[...SETTINGS, 'server_version']],
  )
  const values = new Map(rows.map(({ name, value }) => [name, value]))
  const settings = SETTINGS.flatMap((name) => {
    const value = values.get(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    version: `PostgreSQL ${values.get('server_version')?.split(' ')[0]}`,
    isEmbedded,
    settings: Object.fromEntries(settings),
  }
}

/** The versions of those packages that are installed. */
export function packageVersions(names: Iterable<string>): Record<string, string> {
  const { resolve } = createRequire(import.meta.url)
  const versions: Record<string, string> = {}
  for (const name of names) {
    for (const folder of resolve.paths(name) ?? []) {
      try {
        versions[name] = JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')).version
        break
      } catch {
        // not in this folder
      }
    }
  }
  return versions
}
