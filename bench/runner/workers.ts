/** The worker processes, some of each contender. They are kept from run to run, up to a number that memory bears. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { freemem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { OperationName } from '../contender.js'
import type { FromWorker, Mark, ToWorker } from './messages.js'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
/** Prisma's client and its compiler in WebAssembly are most of it. */
const BYTES_PER_WORKER = 150 * 2 ** 20
const MOST_WORKERS = 100

/**
 * One worker. It rests for minutes between its runs, which a server does not: so it is told not to
 * forget meanwhile what it has compiled. It answers one message at a time. */
export class Worker {
  readonly #child: ChildProcess
  lastUsed = 0
  /** For how long it has done each kind of work, in ms. */
  readonly experience = new Map<OperationName, number>()

  constructor() {
    this.#child = fork(WORKER, { execArgv: ['--no-flush-bytecode', '--import', 'tsx'], serialization: 'advanced' })
    this.#child.on('error', () => {}) // seen as the end of the process
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /**
   * Sends the message, and resolves to the answer of that kind; rejects if the worker fails, ends, or takes too long.
   *
   * @param onMark is told of the marks of a `load`
   */
  ask<K extends FromWorker['kind']>(
    message: ToWorker,
    kind: K,
    patience: number,
    onMark?: (mark: Mark) => void,
  ): Promise<Extract<FromWorker, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        clearTimeout(timer)
        this.#child.off('message', onMessage).off('exit', onExit)
        end()
      }
      const onMessage = (answer: FromWorker) => {
        if (answer.kind === 'warm' || answer.kind === 'measured') return onMark?.(answer.kind)
        settle(() => {
          if (answer.kind === kind) resolve(answer as Extract<FromWorker, { kind: K }>)
          else
            reject(new Error(answer.kind === 'failed' ? answer.message : `An answer of another kind: ${answer.kind}.`))
        })
      }
      const onExit = () => settle(() => reject(new Error('The process ended in the middle of its work.')))
      const timer = setTimeout(
        () => settle(() => reject(new Error(`No answer to "${message.kind}" within ${patience / 1_000} s.`))),
        patience,
      )
      if (!this.isRunning) return onExit()
      this.#child.on('message', onMessage).once('exit', onExit)
      this.#child.send(message)
    })
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    if (this.isRunning) await once(this.#child, 'exit')
  }
}

/** All workers. Ended by `end`, in any case. */
export class Workers {
  readonly #workers = new Map<string, Worker[]>()
  #isOver = false
  readonly #most = Math.max(8, Math.min(MOST_WORKERS, Math.floor(freemem() / 2 / BYTES_PER_WORKER)))

  /** So many workers that have only ever worked for this contender. */
  async take(contender: string, count: number): Promise<readonly Worker[]> {
    const own = (this.#workers.get(contender) ?? []).filter(({ isRunning }) => isRunning)
    await this.#makeRoom(Math.max(0, count - own.length), contender)
    if (this.#isOver) throw new Error('The bench is over.')
    while (own.length < count) own.push(new Worker())
    this.#workers.set(contender, own)
    const taken = own.slice(0, count)
    for (const worker of taken) worker.lastUsed = performance.now()
    return taken
  }

  /** Ends the workers of a contender that does not answer any more. */
  async dismiss(contender: string): Promise<void> {
    const workers = this.#workers.get(contender) ?? []
    this.#workers.delete(contender)
    await Promise.all(workers.map((worker) => worker.end()))
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(Array.from(this.#workers.keys(), (contender) => this.dismiss(contender)))
  }

  /** Ends those that were not used for the longest time. */
  async #makeRoom(needed: number, except: string): Promise<void> {
    const others = Array.from(this.#workers).filter(([contender]) => contender !== except)
    const idle = others.flatMap(([, workers]) => workers).sort((a, b) => a.lastUsed - b.lastUsed)
    const all = idle.length + (this.#workers.get(except)?.length ?? 0)
    const ended = idle.slice(0, Math.max(0, all + needed - this.#most))
    await Promise.all(ended.map((worker) => worker.end()))
  }
}
