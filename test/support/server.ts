import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startGuard } from './guard.js'
import { type Owner, serverOwner } from './owner.js'
import { postgresBinaries } from './postgres-binaries.js'

/** A PostgreSQL server to make databases in. */
export interface Server {
  /** The URL of its maintenance database, as a user who may create databases. */
  readonly url: string
  /** The process id of the postmaster, where the server is ours. */
  readonly pid: number | undefined
  /** Ends it by this signal: `SIGINT` is an orderly end, `SIGQUIT` is none. */
  end(signal: NodeJS.Signals): Promise<void>
  /** Ends it, and starts it on the same data and port; `meanwhile` may copy its data folder. */
  restart(signal: NodeJS.Signals, meanwhile?: (data: string) => Promise<void>): Promise<void>
  stop(): Promise<void>
}

export interface ServerOptions {
  /** Keeps fsync on, as PostgreSQL is shipped. Off by default: tests need no durability. */
  readonly durable?: boolean
  /** More settings, such as `{ max_connections: '500' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** The data folder of a server that has ended in order, which it begins with a copy of. */
  readonly data?: string
  /** Whether it only repeats what another one does, which `primary_conninfo` of its settings tells. */
  readonly isStandby?: boolean
}

/** The server that `ENGINE_URL` or `DATABASE_URL` names, or else an embedded one on a free port. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const given = process.env.ENGINE_URL || process.env.DATABASE_URL
  if (given) {
    const notOurs = () => Promise.reject(new Error('The server is not ours.'))
    return { url: given, pid: undefined, end: notOurs, restart: notOurs, stop: async () => {} }
  }
  return startEmbedded(options)
}

/**
 * An embedded server of one's own, whatever `ENGINE_URL` and `DATABASE_URL` say: for a test that kills it. It ends,
 * and leaves nothing behind, however this process ends.
 */
export async function startEmbedded(options: ServerOptions = {}): Promise<Server> {
  const { durable = false, settings = {} } = options
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-postgres-'))
  const guard = startGuard(folder)
  try {
    const owner = serverOwner()
    const binaries = await postgresBinaries(owner, join(folder, 'binaries'))
    const data = join(folder, 'data')
    await (options.data === undefined ? initialise(folder, binaries, owner) : copyData(options.data, folder, owner))
    if (options.isStandby) await writeFile(join(data, 'standby.signal'), '')
    const all: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '600',
      ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
      ...settings,
    }
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const port = await freePort()
    const args = ['-D', data, '-p', String(port), ...flags]
    const start = async () => {
      const server = spawn(join(binaries, 'bin', 'postgres'), args, {
        ...owner,
        cwd: folder,
        detached: true, // Ctrl-C is for the tests, which then end the server
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      server.once('exit', guard.forget)
      if (server.pid !== undefined) guard.watch(server.pid)
      await ready(server)
      return server
    }
    let server = await start()
    const end = async (signal: NodeJS.Signals) => {
      const ended = once(server, 'exit')
      server.kill(signal)
      await ended
    }
    return {
      url: `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`,
      get pid() {
        return server.pid
      },
      end,
      async restart(signal, meanwhile) {
        await end(signal)
        await meanwhile?.(data)
        server = await start()
      },
      stop: guard.clearUp,
    }
  } catch (error) {
    await guard.clearUp()
    throw error
  }
}

export const PASSWORD = 'postgres'

async function copyData(data: string, folder: string, owner: Owner): Promise<void> {
  if (owner.uid !== undefined && owner.gid !== undefined) await chown(folder, owner.uid, owner.gid)
  await promisify(execFile)('cp', ['-Rp', data, join(folder, 'data')], { ...owner, cwd: folder })
}

/** Makes the data folder, which the guard knows by this name. */
async function initialise(folder: string, binaries: string, owner: Owner): Promise<void> {
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, PASSWORD)
  if (owner.uid !== undefined && owner.gid !== undefined) await chown(folder, owner.uid, owner.gid)
  const args = [`--pgdata=${join(folder, 'data')}`, '--username=postgres', `--pwfile=${passwordFile}`]
  const options = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync']
  await promisify(execFile)(join(binaries, 'bin', 'initdb'), [...args, ...options], { ...owner, cwd: folder })
}

/** Resolves when the server accepts connections; rejects with its log if it ends before. */
export function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ''
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text
      if (!/ready to accept (read-only )?connections/.test(log)) return
      server.stderr?.removeAllListeners('data').resume() // a server of many faults writes for as long as it lives
      resolve()
    })
    server.once('error', reject)
    server.once('close', () => reject(new Error(`PostgreSQL did not start:\n${log}`)))
  })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
