import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from './server.js'

// Debian puts it where only root looks for programs.
const env = { ...process.env, PATH: [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(delimiter) }

/** Why PgBouncer cannot be started here; `undefined` if it can. */
export const whyNoPgBouncer =
  spawnSync('pgbouncer', ['--version'], { env }).status === 0 ? undefined : 'pgbouncer is not installed'

const [major = 0, minor = 0] =
  /PgBouncer (\d+)\.(\d+)/
    .exec(String(spawnSync('pgbouncer', ['--version'], { env }).stdout))
    ?.slice(1)
    .map(Number) ?? []

/** Why none can be started here that prepares statements anew in each session (`max_prepared_statements`). */
export const whyNoNamedStatements =
  whyNoPgBouncer ?? (major > 1 || minor >= 21 ? undefined : `PgBouncer is ${major}.${minor}, and 1.21 brought it`)

/** A PgBouncer, in transaction pooling mode unless another is given, in front of the server of this URL. */
export interface PgBouncer {
  /** The URL of the same database, by way of PgBouncer. */
  readonly url: string
  stop(): Promise<void>
}

/**
 * @param poolSize how many connections to the server it has, for all its clients together
 * @param settings more lines of its configuration
 */
export async function startPgBouncer(
  target: string,
  poolSize: number,
  mode: 'transaction' | 'session' = 'transaction',
  settings = '',
): Promise<PgBouncer> {
  const { hostname, port, username, password, pathname } = new URL(target)
  const directory = await mkdtemp(join(tmpdir(), 'concurrency-pgbouncer-'))
  const own = await freePort()
  const [user, secret] = [username, password].map((text) => decodeURIComponent(text).replaceAll('"', '""'))
  await writeFile(join(directory, 'userlist.txt'), `"${user}" "${secret}"\n`)
  await writeFile(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${hostname} port=${port || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(directory, 'userlist.txt')}
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 500
server_login_retry = 1
${settings}
`,
  )
  const isRoot = process.getuid?.() === 0
  // It refuses to run as root, and as somebody else it must be able to read these files.
  await chmod(directory, 0o755)
  const args = [...(isRoot ? ['-u', 'nobody'] : []), join(directory, 'pgbouncer.ini')]
  const child = spawn('pgbouncer', args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = () => void child.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(child, 'exit')
  const stop = async () => {
    kill()
    await exited
    process.off('exit', kill)
    await rm(directory, { recursive: true, force: true })
  }

  let log = ''
  const isUp = new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
      if (log.includes('process up')) resolve()
    })
  })
  const hasFailed = exited.then(() => true)
  if (await Promise.race([isUp.then(() => false), hasFailed])) {
    await stop()
    throw new Error(`PgBouncer did not start:\n${log}`)
  }
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(own)
  url.pathname = pathname
  return { url: url.href, stop }
}
