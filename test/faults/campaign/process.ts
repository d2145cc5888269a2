import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../support/fuzz/chance.js'
import type { EngineName } from './connect.js'
import { type Fate, type FaultyProxy, openFaultyProxy } from './faulty-proxy.js'
import type { Order, Report, Work } from './worker.js'

/** How long a worker has to end its last calls, in ms. */
const ENDING = 20_000

export interface Plan {
  /** The bundled worker. */
  readonly file: string
  readonly log: string
  /** Where it connects to, by way of its proxy. */
  readonly target: string
  readonly n: number
  readonly seed: number
  readonly engine: EngineName
  readonly callers: number
  readonly since: number
  readonly only?: readonly string[] | undefined
  readonly fates?: readonly Fate[] | undefined
  readonly warmsUp: boolean
}

/** A worker with its proxy, in its incarnations: it is killed, and begins anew. */
export class Worker {
  readonly proxy: FaultyProxy
  readonly log: string
  /** The rest in the heap of the incarnation that warmed up: before the faults, and after the last call. */
  heap: { readonly before?: number; readonly after?: number } = {}
  readonly #plan: Plan
  #child: ChildProcess | undefined
  #isReady: Promise<unknown> = Promise.resolve()
  #incarnation = 0

  private constructor(plan: Plan, proxy: FaultyProxy) {
    this.#plan = plan
    this.log = plan.log
    this.proxy = proxy
  }

  static async start(plan: Plan): Promise<Worker> {
    const proxy = await openFaultyProxy(plan.target, { seed: plan.seed * 7 + plan.n, fates: plan.fates })
    const worker = new Worker(plan, proxy)
    await rm(worker.log, { force: true })
    worker.#begin()
    return worker
  }

  #begin(): void {
    const { file, seed, n, warmsUp, engine, callers, since, only } = this.#plan
    this.heap = {}
    const name = `${n}.${this.#incarnation++}`
    const child = fork(file, {
      execArgv: ['--no-deprecation', '--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child = child
    const work: Work = {
      engine,
      url: this.proxy.url,
      log: this.log,
      name,
      seed: seed * 101 + n * 13 + this.#incarnation,
      callers,
      since,
      warmsUp: warmsUp && this.#incarnation === 1,
      ...(only ? { only } : {}),
    }
    child.on('error', () => {})
    this.#isReady = this.#report('ready')
    child.send(work, () => {})
  }

  /** Resolves when its latest incarnation makes calls, or is gone. */
  get isReady(): Promise<unknown> {
    return this.#isReady
  }

  /** Its report of this state; nothing if it ends before. */
  #report(state: Report['state']): Promise<Report | undefined> {
    const child = this.#child
    if (!child || isGone(child)) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      child.on('message', (report: Report) => report.state === state && resolve(report))
      child.once('exit', () => resolve(undefined))
    })
  }

  #order(order: Order): void {
    this.#child?.send(order, () => {})
  }

  /** Ends the calls without faults, and lets it go on when all workers have ended them. */
  async rest(): Promise<() => void> {
    const resting = this.#report('resting')
    this.#order('rest')
    const report = await resting
    if (report) this.heap = { before: report.heap }
    return () => this.#order('go')
  }

  /** It is killed, it stands still for a while, or its network is away. */
  async disturb(chance: Chance, faults: Record<string, number>): Promise<void> {
    const what = chance.pick(['kill', 'stop', 'stop', 'network', 'network'] as const)
    faults[what] = (faults[what] ?? 0) + 1
    if (what === 'network') this.proxy.refuse(chance.below(2_000))
    if (what === 'kill') {
      const child = this.#child
      child?.kill('SIGKILL')
      if (child && !isGone(child)) await once(child, 'exit')
      this.#begin()
    }
    if (what === 'stop') {
      this.#child?.kill('SIGSTOP')
      await sleep(200 + chance.below(chance.below(3) === 0 ? 5_000 : 1_000))
      this.#child?.kill('SIGCONT')
    }
  }

  /** Whether it has ended its calls in time. */
  async end(): Promise<boolean> {
    const child = this.#child
    if (!child || isGone(child)) return true
    const ended = this.#report('ended')
    const exited = once(child, 'exit')
    this.#order('end')
    const isInTime = await Promise.race([ended.then(() => true), sleep(ENDING).then(() => false)])
    if (isInTime && this.heap.before !== undefined) this.heap = { ...this.heap, after: (await ended)?.heap }
    await Promise.race([exited, sleep(3_000)])
    child.kill('SIGKILL')
    return isInTime
  }
}

const isGone = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null
