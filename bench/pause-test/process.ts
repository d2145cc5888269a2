/** A process of the pause test, as the runner sees it. It ends with the bench, also while it is stopped. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FromPauseProcess, ToPauseProcess } from './messages.js'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
/** A process that is stopped does not see that its parent is gone: this one sees it, by the end of its input. */
const GUARD = 'read -r _ || kill -KILL "$1" 2> /dev/null'

export class PauseProcess {
  readonly #child: ChildProcess
  readonly #guard: ChildProcess

  constructor() {
    this.#child = fork(WORKER, { execArgv: ['--import', 'tsx'], serialization: 'advanced' })
    this.#child.on('error', () => {}) // seen as the end of the process
    this.#guard = spawn('sh', ['-c', GUARD, 'sh', String(this.#child.pid)], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#guard.stdin?.on('error', () => {}) // it has ended
  }

  get #isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  send(message: ToPauseProcess): void {
    if (this.#isRunning) this.#child.send(message)
  }

  /** Resolves to the next message of that kind; rejects if the process fails, ends, or takes too long. */
  hear<K extends FromPauseProcess['kind']>(kind: K, patience: number): Promise<Extract<FromPauseProcess, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        clearTimeout(timer)
        this.#child.off('message', onMessage).off('exit', onExit)
        end()
      }
      const onMessage = (message: FromPauseProcess) => {
        if (message.kind === kind) settle(() => resolve(message as Extract<FromPauseProcess, { kind: K }>))
        else if (message.kind === 'failed') settle(() => reject(new Error(message.message)))
        else if (message.kind === 'worked') settle(() => reject(new Error(`It was done before "${kind}".`)))
      }
      const onExit = () => settle(() => reject(new Error('The process ended in the middle of its work.')))
      const timer = setTimeout(
        () => settle(() => reject(new Error(`Not "${kind}" within ${patience / 1_000} s.`))),
        patience,
      )
      this.#child.on('message', onMessage).once('exit', onExit)
      if (!this.#isRunning) onExit()
    })
  }

  ask<K extends FromPauseProcess['kind']>(
    message: ToPauseProcess,
    kind: K,
    patience: number,
  ): Promise<Extract<FromPauseProcess, { kind: K }>> {
    const heard = this.hear(kind, patience)
    this.send(message)
    return heard
  }

  /** Resolves when it is really stopped, after it has said that it stops. */
  async stopped(): Promise<void> {
    for (;;) {
      const stat = await readFile(`/proc/${this.#child.pid}/stat`, 'utf8').catch(() => undefined)
      if (stat === undefined || /\) T /.test(stat)) return
      await sleep(10)
    }
  }

  goOn(): void {
    this.#child.kill('SIGCONT')
  }

  async end(): Promise<void> {
    if (this.#isRunning) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await exited
    }
    this.#guard.stdin?.end('over\n')
  }
}
