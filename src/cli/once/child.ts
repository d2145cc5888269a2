import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'

export interface ChildCall {
  readonly command: string
  readonly args: readonly string[]
  /** More variables of its environment. */
  readonly env: Readonly<Record<string, string>>
  /** When it is aborted, the command has to end. */
  readonly signal: AbortSignal
  /** How long it may take to end after SIGTERM, in ms: then it is killed. */
  readonly grace: number
}

/** The exit code of a command that cannot be started, as those of a shell. */
const NOT_FOUND = 127
const NOT_STARTED = 126

/** The command, while it runs. */
export class Child {
  readonly #process: ChildProcess
  readonly #call: ChildCall
  readonly #exited: Promise<number>
  #kill: NodeJS.Timeout | undefined

  constructor(call: ChildCall) {
    const { command, args, env } = call
    this.#call = call
    // Its input and output are its own.
    this.#process = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
    this.#exited = new Promise((resolve, reject) => {
      this.#process.on('error', reject)
      this.#process.on('exit', (code, by) => resolve(code ?? 128 + (by === null ? 0 : constants.signals[by])))
    })
  }

  /** Passes a signal on. */
  send(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Resolves to its exit code, as a shell has it, when it has ended. */
  async ended(): Promise<number> {
    const { signal, grace } = this.#call
    const end = () => {
      this.send('SIGTERM')
      this.#kill = setTimeout(() => this.send('SIGKILL'), grace)
    }
    const guard = guardOf(this.#process.pid, grace)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    try {
      return await this.#exited
    } catch (error) {
      if (!isMissing(error)) throw error
      return error.code === 'ENOENT' ? NOT_FOUND : NOT_STARTED
    } finally {
      signal.removeEventListener('abort', end)
      clearTimeout(this.#kill)
      guard?.stdin?.end('over\n')
    }
  }
}

function isMissing(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && String(error.syscall).startsWith('spawn')
}

/**
 * When this process is killed without a word, somebody has to end the command, which has no lease any more: a shell that
 * reads from a pipe of this process. Its end comes without a line then.
 */
const GUARD = `read -r line && exit
kill -TERM "$1" || exit
n=0
while [ "$n" -lt "$2" ]; do
  sleep 1
  kill -0 "$1" || exit
  n=$((n + 1))
done
kill -KILL "$1"`

function guardOf(pid: number | undefined, grace: number): ChildProcess | undefined {
  if (pid === undefined || process.platform === 'win32') return undefined
  const args = ['-c', GUARD, 'sh', String(pid), String(Math.ceil(grace / 1_000))]
  // In a group of its own, so that a signal to all of this group does not end it.
  const guard = spawn('sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  guard.on('error', () => {}) // there is no shell
  guard.stdin?.on('error', () => {})
  guard.unref()
  return guard
}
