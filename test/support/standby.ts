import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { startGuard } from './guard.js'
import { type Owner, serverOwner } from './owner.js'
import { postgresBinaries } from './postgres-binaries.js'
import { freePort, PASSWORD, ready, type Server } from './server.js'

/** A hot standby of a server, which streams its WAL. */
export interface Standby {
  readonly url: string
  /** Ends it at once. */
  crash(): Promise<void>
  /** Starts it again. Resolves when it streams. */
  start(): Promise<void>
  /** Makes it a server that takes writes. The one that it has followed knows nothing of that. */
  promote(): Promise<void>
  stop(): Promise<void>
}

const NAME = 'standby'

/** The server that it follows, or a way to that. */
type Primary = Pick<Server, 'url'>

/**
 * Makes a standby of a server of the tests' own. `pg_basebackup` is not among the binaries: the data folder is
 * copied between the beginning and the end of a backup.
 */
export async function startStandby(primary: Primary): Promise<Standby> {
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-standby-'))
  const guard = startGuard(folder)
  try {
    const owner = serverOwner()
    const binaries = await postgresBinaries(owner, join(folder, 'binaries'))
    await own(folder, owner)
    const data = join(folder, 'data')
    await copyData(primary, data, owner)
    const port = await freePort()
    const { hostname, port: primaryPort } = new URL(primary.url)
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '600', // no fewer than the primary has
      fsync: 'off',
      hot_standby: 'on',
      wal_retrieve_retry_interval: '100ms',
      primary_conninfo: `host=${hostname} port=${primaryPort} user=postgres password=${PASSWORD} application_name=${NAME}`,
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    let server: ReturnType<typeof spawn>
    const start = async () => {
      server = spawn(join(binaries, 'bin', 'postgres'), ['-D', data, '-p', String(port), ...flags], {
        ...owner,
        cwd: folder,
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      server.once('exit', guard.forget)
      if (server.pid !== undefined) guard.watch(server.pid)
      await ready(server)
      await untilStreaming(primary)
    }
    await start()
    const url = `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`
    return {
      url,
      async crash() {
        const ended = once(server, 'exit')
        server.kill('SIGQUIT')
        await ended
      },
      start,
      promote: () => onPrimary({ url }, (client) => client.query('SELECT pg_promote()')),
      stop: guard.clearUp,
    }
  } catch (error) {
    await guard.clearUp()
    throw error
  }
}

async function copyData(primary: Primary, data: string, owner: Owner): Promise<void> {
  await onPrimary(primary, async (client) => {
    const { rows } = await client.query('SHOW data_directory')
    await client.query(`SELECT pg_backup_start('standby', true)`)
    // As an archive, which keeps the owner. WAL that is not in the copy is streamed.
    await promisify(execFile)('cp', ['-a', rows[0].data_directory, data])
    const stopped = await client.query('SELECT labelfile FROM pg_backup_stop(false)')
    await rm(join(data, 'postmaster.pid'))
    const files = { backup_label: stopped.rows[0].labelfile, 'standby.signal': '' }
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(data, name), text)
      await own(join(data, name), owner)
    }
  })
}

/** Waits until the primary knows of the standby. */
async function untilStreaming(primary: Primary): Promise<void> {
  await onPrimary(primary, async (client) => {
    const isStreaming = `SELECT FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`
    while ((await client.query(isStreaming, [NAME])).rows.length === 0) await sleep(20)
  })
}

async function own(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
}

async function onPrimary(primary: Primary, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: primary.url })
  await client.connect()
  await work(client).finally(() => client.end())
}
