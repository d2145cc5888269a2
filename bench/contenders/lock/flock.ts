/**
 * `flock` of util-linux. Node has no flock(2), and what is added to it is compiled, so that users
 * of Node start the command: it holds the lock until its standard input ends, which is when it is
 * told to, or when this process is gone.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Contender } from '../../contender.js'
import { limiter } from '../../support/limiter.js'
import { LOCK_OPERATIONS, LockNotFree, lockName, lockSession, UNKNOWING } from '../../support/lock.js'
import { PATIENCE } from '../../support/patience.js'

/** At once: a thousand would take all memory and time to start. The others wait in the process, in their order. */
const MOST_COMMANDS = 64
/** Says that it has the lock, and keeps it as long as it runs. */
const HOLD = 'echo held && read -r _'
/** Of flock, when the lock was not free in time. */
const NOT_FREE = 1

export default {
  id: 'lock/flock',
  title: 'flock (util-linux)',
  family: 'lock',
  source: 'https://man7.org/linux/man-pages/man1/flock.1.html',
  choices:
    'One command per lock, at most 64 at once; --no-fork, so that it is one process; --wait of what is left of 5 s. The kernel wakes the next one: ' +
    'nobody asks again and again. Only for one machine. It has no lease: who is stopped keeps it. Rows by Prisma, with prepared statements.',
  programs: ['flock', 'sh'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const limited = limiter(MOST_COMMANDS)
    return lockSession(
      env,
      (key, body) => {
        const deadline = performance.now() + PATIENCE
        return limited(async () => {
          const release = await flock(join(env.folder, `${lockName(env, key)}.flock`), deadline - performance.now())
          try {
            await body(UNKNOWING)
          } finally {
            await release()
          }
          return 0
        })
      },
      async () => {},
    )
  },
} satisfies Contender

/** Resolves, when the lock is held, to the function that gives it back. */
async function flock(file: string, left: number): Promise<() => Promise<void>> {
  if (left <= 0) throw new LockNotFree()
  const args = ['--exclusive', '--no-fork', '--wait', String(left / 1_000), file, 'sh', '-c', HOLD]
  const child = spawn('flock', args, { stdio: ['pipe', 'pipe', 'ignore'] })
  const exited = new Promise<number | null>((resolve, reject) => child.once('exit', resolve).once('error', reject))
  child.stdin.on('error', () => {}) // it has ended already
  const held = once(child.stdout, 'data').then(() => undefined)
  const exitCode = await Promise.race([held, exited])
  if (exitCode === NOT_FREE) throw new LockNotFree()
  if (exitCode !== undefined) throw new Error(`flock ended with ${exitCode}.`)
  return async () => {
    child.stdin.end()
    await exited
  }
}
