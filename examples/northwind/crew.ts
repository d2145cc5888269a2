import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Report, Task } from './worker.js'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
export const WORKERS = 4
/** The worker that is killed, and how many answers it has given by then. */
const VICTIM = 1
const KILLED_AFTER = 100

export interface Replay {
  readonly answers: number
  /** Processes that were killed in the middle of their work, and started again from the first order. */
  readonly killed: number
}

/** Four processes that send the orders side by side. One of them is killed on the way. */
export class Crew {
  /** Each process, with the way in which it will have ended. */
  readonly #running = new Map<ChildProcess, Promise<string>>()
  #killed = 0
  #answers = 0
  #isEnding = false

  constructor(interruption: AbortSignal) {
    interruption.addEventListener('abort', () => this.#kill())
  }

  async replay(url: string, onAnswer: () => void): Promise<Replay> {
    const works = Array.from({ length: WORKERS }, (_, index) => this.#work({ url, index, of: WORKERS }, onAnswer))
    await Promise.all(works)
    return { answers: this.#answers, killed: this.#killed }
  }

  /** Runs one share of the work; from its start once more, if its process is killed. */
  async #work(task: Task, onAnswer: () => void): Promise<void> {
    const child = fork(WORKER, { execArgv: ['--import', 'tsx'] })
    const ended = endOf(child)
    this.#running.set(child, ended)
    let answers = 0
    let isDone = false
    child.on('message', (report: Report) => {
      if (report.kind === 'done') {
        isDone = true
        child.disconnect()
        return
      }
      answers++
      this.#answers++
      onAnswer()
      if (task.index === VICTIM && this.#killed === 0 && answers === KILLED_AFTER) {
        this.#killed++
        child.kill('SIGKILL')
      }
    })
    child.send(task)
    const end = await ended
    this.#running.delete(child)
    if (isDone || this.#isEnding) return
    if (end === 'SIGKILL' && task.index === VICTIM) return this.#work(task, onAnswer)
    throw new Error(`A worker ended before its work was done, with ${end}.`)
  }

  async end(): Promise<void> {
    this.#kill()
    await Promise.allSettled(this.#running.values())
  }

  #kill() {
    this.#isEnding = true
    for (const child of this.#running.keys()) child.kill()
  }
}

/** The signal or the exit code with which a process ends; rejects if it cannot be started. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    child.on('error', (error) => {
      // One that has just ended cannot be sent its task either; its exit will tell what became of it.
      if (child.pid === undefined) reject(error)
    })
  })
}
