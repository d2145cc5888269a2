import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase } from '../../support/database.js'
import { Chance } from '../../support/fuzz/chance.js'
import { startPgBouncer, whyNoPgBouncer } from '../../support/pgbouncer.js'
import type { Server } from '../../support/server.js'
import { check, checkUncaught, type Violation } from './checks.js'
import { DEADLINE, type EngineName } from './connect.js'
import { type Fate, type FaultyProxy, openFaultyProxy } from './faulty-proxy.js'
import { type Call, readLogs } from './log.js'
import { DBA_SETTINGS, query, SERVER_FAULTS } from './server.js'
import { fill, readTables } from './tables.js'
import type { Work } from './worker.js'

/** The time that a call has beyond its deadline, in ms: it makes two calls at most, and the machine is busy. */
const GRACE = 2 * DEADLINE + 2_000
/** How long the workers have to end their last calls, in ms. */
const ENDING = 20_000

export interface RoundOptions {
  readonly server: Server
  /** The database that each round's is copied from. */
  readonly template: string
  /** The bundled worker. */
  readonly worker: string
  readonly folder: string
  readonly seed: number
  readonly duration: number
  readonly callers?: number
  /** Of the workers, the third of which may be behind PgBouncer. */
  readonly engines?: readonly EngineName[]
  /** Left out: all kinds, and all faults. */
  readonly only?: readonly string[]
  readonly withServerFaults?: boolean
  /** One of so many pieces of the conversation has a fault. Default: by the seed. */
  readonly oneOf?: number
  readonly fates?: readonly Fate[] | undefined
}

export interface RoundResult {
  readonly seed: number
  readonly settings: Readonly<Record<string, string>>
  readonly calls: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  /** Calls that took longer than their deadline and the grace. */
  readonly late: readonly Call[]
  /** The errors with which calls were refused, and how often. */
  readonly errors: Readonly<Record<string, number>>
  readonly exceptions: number
  readonly violations: readonly Violation[]
}

/** One round: all of its calls and faults follow from the seed. */
export async function runRound(options: RoundOptions): Promise<RoundResult> {
  const { server, template, seed, duration, withServerFaults = true } = options
  const chance = new Chance(seed)
  const settings = (withServerFaults && DBA_SETTINGS[seed % DBA_SETTINGS.length]) || {}
  const database = await createDatabase(server.url, template)
  await fill(database.url)
  const name = new URL(database.url).pathname.slice(1)
  for (const [setting, value] of Object.entries(settings)) {
    await query(server.url, `ALTER DATABASE ${name} SET ${setting} = '${value}'`)
  }
  const faults: Record<string, number> = {}
  const oneOf = options.oneOf ?? 300 + chance.below(1_500)
  const bouncer =
    withServerFaults && seed % 3 === 2 && !whyNoPgBouncer ? await startPgBouncer(database.url, 6) : undefined
  const { engines = ['prisma', 'pg', 'prisma'] } = options
  const workers = await Promise.all(
    engines.map((engine, n) =>
      Worker.start(options, { target: (n === 2 && bouncer?.url) || database.url, n, oneOf, engine }),
    ),
  )
  await Promise.all(workers.map((worker) => worker.isReady))
  const end = Date.now() + duration
  while (Date.now() < end) {
    await sleep(300 + chance.below(1_200))
    if (!withServerFaults) continue
    if (chance.below(2) === 0) {
      const fault = chance.pick(SERVER_FAULTS)
      faults[nameOf(fault)] = (faults[nameOf(fault)] ?? 0) + 1
      await fault(server, database.url, chance)
    } else await chance.pick(workers).disturb(chance, faults)
  }
  for (const worker of workers) worker.proxy.heal()
  const hung = (await Promise.all(workers.map((worker) => worker.end()))).filter((isEnded) => !isEnded).length
  for (const { proxy } of workers) {
    for (const [fate, count] of Object.entries(proxy.fates)) faults[fate] = (faults[fate] ?? 0) + count
    await proxy.close()
  }
  await bouncer?.stop()
  const drained = await drain(database.url)
  const { calls, uncaught } = readLogs(workers.map(({ log }) => log))
  const violations = [...check(calls, await readTables(database.url)), ...checkUncaught(uncaught)]
  if (hung > 0) violations.push({ what: `${hung} workers did not end`, history: openCalls(calls) })
  if (drained) violations.push({ what: `sessions are left: ${drained}`, history: [] })
  await database.drop()
  if (violations.length === 0) await Promise.all(workers.map(({ log }) => rm(log, { force: true })))
  return {
    seed,
    settings,
    calls: calls.length,
    outcomes: count(calls.map(({ outcome }) => outcome)),
    faults,
    late: lateOf(calls, workers),
    errors: count(calls.filter(({ outcome }) => outcome !== 'ok').map(errorOf)),
    exceptions: uncaught.filter(({ x }) => x === 'exception').length,
    violations,
  }
}

interface Place {
  readonly target: string
  readonly n: number
  readonly oneOf: number
  readonly engine: EngineName
}

/** A worker in its incarnations: it is killed, and begins anew. */
class Worker {
  readonly proxy: FaultyProxy
  readonly log: string
  /** When it stood still, in ms. */
  readonly stops: [from: number, to: number][] = []
  readonly n: number
  readonly #options: RoundOptions
  readonly #place: Place
  /** Settles when its latest incarnation begins to make calls, or is gone. */
  isReady: Promise<unknown> = Promise.resolve()
  #child: ChildProcess | undefined
  #incarnation = 0

  private constructor(options: RoundOptions, place: Place, proxy: FaultyProxy) {
    this.#options = options
    this.#place = place
    this.n = place.n
    this.proxy = proxy
    this.log = join(options.folder, `${options.seed}-${place.n}.jsonl`)
  }

  static async start(options: RoundOptions, place: Place): Promise<Worker> {
    const proxy = await openFaultyProxy(place.target, {
      seed: options.seed * 7 + place.n,
      oneOf: place.oneOf,
      fates: options.fates,
    })
    const worker = new Worker(options, place, proxy)
    await rm(worker.log, { force: true })
    worker.#begin()
    return worker
  }

  #begin(): void {
    const { worker, seed, callers = 6, only } = this.#options
    const name = `${this.n}.${this.#incarnation++}`
    this.#child = fork(worker, { execArgv: ['--no-deprecation'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const work: Work = {
      engine: this.#place.engine,
      url: this.proxy.url,
      log: this.log,
      name,
      seed: seed * 101 + this.n * 13 + this.#incarnation,
      callers,
      ...(only ? { only } : {}),
    }
    this.#child.on('error', () => {})
    this.isReady = Promise.race([once(this.#child, 'message'), once(this.#child, 'exit')])
    this.#child.send(work, () => {})
  }

  /** It is killed, it stands still for a while, or its network is away. */
  async disturb(chance: Chance, faults: Record<string, number>): Promise<void> {
    const what = chance.pick(['kill', 'stop', 'stop', 'network', 'network'] as const)
    faults[what] = (faults[what] ?? 0) + 1
    if (what === 'network') this.proxy.refuse(chance.below(2_000))
    if (what === 'kill') {
      const child = this.#child
      child?.kill('SIGKILL')
      if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      this.#begin()
    }
    if (what === 'stop') {
      const from = Date.now()
      this.#child?.kill('SIGSTOP')
      await sleep(200 + chance.below(chance.below(3) === 0 ? 5_000 : 1_000))
      this.#child?.kill('SIGCONT')
      this.stops.push([from, Date.now()])
    }
  }

  /** Whether it has ended its calls in time. */
  async end(): Promise<boolean> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return true
    const ended = new Promise<true>((resolve) => {
      child.on('message', (message) => message === 'ended' && resolve(true))
    })
    const exited = once(child, 'exit').then(() => true)
    child.send('end', () => {})
    const isInTime = await Promise.race([ended, exited, sleep(ENDING).then(() => false)])
    await Promise.race([exited, sleep(3_000)])
    child.kill('SIGKILL')
    return isInTime
  }
}

/** The sessions that are left, though everybody has gone. */
async function drain(url: string): Promise<string | undefined> {
  for (let attempt = 1; ; attempt++) {
    const left = await query(
      url,
      `SELECT pid, state, left(query, 200) AS query FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'`,
    )
    if (left.length === 0) return undefined
    if (attempt === 150) return JSON.stringify(left)
    await sleep(100)
  }
}

function lateOf(calls: readonly Call[], workers: readonly Worker[]): Call[] {
  return calls.filter(({ id, from, to }) => {
    if (to === undefined) return false
    const stops = workers[Number(id.split('.')[0])]?.stops ?? []
    const stopped = stops.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, to) - Math.max(a, from)), 0)
    return to - from - stopped > DEADLINE + GRACE
  })
}

const openCalls = (calls: readonly Call[]) => calls.filter(({ to }) => to === undefined)

function errorOf({ kind, outcome, answer }: Call): string {
  const text = String(answer)
  return `${outcome} ${kind}: ${/^\w+: \w*/.exec(text)?.[0] ?? text.slice(0, 60)}`
}

function count(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}

function nameOf(fault: (typeof SERVER_FAULTS)[number]): string {
  return fault.name
}
