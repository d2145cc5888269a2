import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase } from '../../support/database.js'
import { Chance } from '../../support/fuzz/chance.js'
import { startPgBouncer, whyNoPgBouncer } from '../../support/pgbouncer.js'
import type { Server } from '../../support/server.js'
import { ALL_KINDS } from './calls.js'
import { CALM, checkCalm } from './calm.js'
import { check, checkUncaught, type Violation } from './checks.js'
import type { EngineName } from './connect.js'
import { type Fate, type FaultyProxy, openFaultyProxy } from './faulty-proxy.js'
import { checkTimes, times } from './lateness.js'
import { type Call, readLog } from './log.js'
import { wrongLooks } from './looks.js'
import { afterLoss, type Loss } from './losses.js'
import { Worker } from './process.js'
import { DBA_SETTINGS, query, SETTINGS } from './server.js'
import { aloneSite, pairSite, type Site, type SiteKind } from './site.js'
import { fill, readTables, type Tables } from './tables.js'

export interface RoundOptions {
  readonly server: Server
  /** The database that each round's is copied from. */
  readonly template: string
  /** The bundled worker. */
  readonly worker: string
  readonly folder: string
  readonly seed: number
  readonly duration: number
  /** How long calls are made without faults first, in ms. Default: two seconds. */
  readonly warmUp?: number
  /** How long calls are made when the faults are over, in ms. */
  readonly calm?: number
  /** Of each worker. */
  readonly callers?: number
  /** Of the workers, the third of which may be behind PgBouncer. */
  readonly engines?: readonly EngineName[]
  /** Left out: all kinds, and all faults. */
  readonly only?: readonly string[]
  readonly withServerFaults?: boolean
  /** Default: by the seed. */
  readonly kind?: SiteKind
  /** How often the network of each worker has a fault: every so many ms on average; 0: never. Default: by the seed. */
  readonly every?: number
  readonly fates?: readonly Fate[] | undefined
}

export interface RoundResult {
  readonly seed: number
  readonly kind: SiteKind
  readonly settings: Readonly<Record<string, string>>
  readonly calls: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  /** Of the calls that have a deadline, the longest, in ms. */
  readonly longest: number
  /** By how much the heap of a worker has grown at most, in bytes. */
  readonly growth: number
  /** The errors with which calls were refused, and how often. */
  readonly errors: Readonly<Record<string, number>>
  readonly exceptions: number
  /** Promises that are broken, and were expected to be: of a server that was lost before its standby had all of it. */
  readonly lost: number
  readonly violations: readonly Violation[]
}

/** By how much the heap of a worker may grow after its first seconds, in bytes: code that is compiled, and caches. */
const MOST_GROWTH = 10 * 2 ** 20

/** One round: all of its calls and faults follow from the seed. */
export async function runRound(options: RoundOptions): Promise<RoundResult> {
  const { server, template, seed, withServerFaults = true, warmUp = 2_000, calm = CALM } = options
  const { kind = kindOf(options) } = options
  const chance = new Chance(seed)
  const site = kind === 'alone' ? aloneSite(server) : await pairSite(kind, server, SETTINGS)
  const { pathname } = new URL((await createDatabase(site.server.url, template)).url)
  const urlOf = () => Object.assign(new URL(site.server.url), { pathname }).href
  await fill(urlOf())
  const settings = (withServerFaults && DBA_SETTINGS[seed % DBA_SETTINGS.length]) || {}
  for (const [setting, value] of Object.entries(settings)) {
    await query(site.server.url, `ALTER DATABASE ${pathname.slice(1)} SET ${setting} = '${value}'`)
  }
  const bouncer = withServerFaults && seed % 3 === 2 && !whyNoPgBouncer ? await openBouncer(urlOf()) : undefined
  const workers = await startWorkers(options, (n) => (n === BOUNCED && bouncer?.url) || urlOf())
  if (warmUp > 0) {
    await sleep(warmUp)
    const ready = await Promise.all(workers.map((worker) => worker.rest()))
    for (const goOn of ready) goOn()
  }
  const every = options.every ?? 300 + chance.below(1_000)
  for (const { proxy } of workers) proxy.breakEvery(every)
  const { faults, loss } = await makeFaults(options, { chance, site, workers, bouncer, urlOf })
  for (const { proxy } of workers) proxy.breakEvery(0)
  const healed = Date.now()
  await sleep(calm)
  const hung = await endWorkers(workers, faults)
  await bouncer?.stop()
  const left = await drain(urlOf())
  const engine = seed % 2 === 0 ? 'prisma' : 'pg'
  const tables = { ...(await readTables(urlOf())), wrongLooks: await wrongLooks(engine, urlOf()) }
  const { open, ...result } = judge(workers, tables, { loss, healed })
  const violations = [...result.violations]
  if (hung > 0) violations.push({ what: `${hung} workers did not end`, history: open })
  if (left) violations.push({ what: `sessions are left: ${left}`, history: [] })
  if (result.growth > MOST_GROWTH) violations.push({ what: `a heap has grown by ${result.growth} bytes`, history: [] })
  await query(site.server.url, `DROP DATABASE ${pathname.slice(1)} WITH (FORCE)`)
  await site.close()
  if (violations.length === 0) await Promise.all(workers.map(({ log }) => rm(log, { force: true })))
  return { seed, kind, settings, faults, ...result, violations }
}

/** Two rounds of five have a standby, with each of the settings, and with and without PgBouncer. */
function kindOf({ seed, withServerFaults = true }: RoundOptions): SiteKind {
  return (withServerFaults && ({ 1: 'sync', 3: 'async' } as const)[seed % 5]) || 'alone'
}

interface Running {
  readonly chance: Chance
  readonly site: Site
  readonly workers: readonly Worker[]
  readonly bouncer: Bouncer | undefined
  readonly urlOf: () => string
}

/** Until the round is over: faults of the servers, of the processes and of their networks, and the loss of a server. */
async function makeFaults(options: RoundOptions, { chance, site, workers, bouncer, urlOf }: Running) {
  const { duration, withServerFaults = true } = options
  const faults: Record<string, number> = {}
  let loss: Loss | undefined
  const begin = Date.now()
  const failsOverAt = site.kind === 'alone' ? Number.POSITIVE_INFINITY : begin + duration * (0.4 + chance.next() * 0.3)
  const count = (name: string) => {
    faults[name] = (faults[name] ?? 0) + 1
  }
  while (Date.now() < begin + duration) {
    await sleep(800 + chance.below(2_400))
    if (!withServerFaults) continue
    if (loss === undefined && Date.now() > failsOverAt) {
      count(`failover ${site.kind}`)
      loss = await site.failOver(chance)
      bouncer?.proxy.goTo(urlOf())
      for (const { proxy } of workers.filter((_, n) => !bouncer || n !== BOUNCED)) proxy.goTo(urlOf())
    } else if (chance.below(2) === 0) {
      const fault = chance.pick(site.faults)
      count(fault.name)
      await fault(site.server, urlOf(), chance)
    } else await chance.pick(workers).disturb(chance, faults)
  }
  return { faults, loss }
}

/** The worker that may be behind PgBouncer. */
const BOUNCED = 2

interface Bouncer {
  readonly url: string
  /** It leads from PgBouncer to the server, which may be another one later. */
  readonly proxy: FaultyProxy
  stop(): Promise<void>
}

async function openBouncer(target: string): Promise<Bouncer> {
  const proxy = await openFaultyProxy(target, { seed: 0 })
  const { url, stop } = await startPgBouncer(proxy.url, 10)
  const stopBoth = async () => {
    await stop()
    await proxy.close()
  }
  return { url, proxy, stop: stopBoth }
}

async function startWorkers(options: RoundOptions, targetOf: (n: number) => string): Promise<Worker[]> {
  const { worker: file, folder, seed, only, fates, callers = 48, engines = ['prisma', 'pg', 'prisma', 'pg'] } = options
  const since = Date.now()
  const warmsUp = options.warmUp !== 0
  const workers = await Promise.all(
    engines.map((engine, n) => {
      const log = join(folder, `${seed}-${n}.jsonl`)
      return Worker.start({ file, log, target: targetOf(n), n, seed, engine, callers, since, only, fates, warmsUp })
    }),
  )
  await Promise.all(workers.map((worker) => worker.isReady))
  return workers
}

/** How many workers did not end their calls. */
async function endWorkers(workers: readonly Worker[], faults: Record<string, number>): Promise<number> {
  const ended = await Promise.all(workers.map((worker) => worker.end()))
  for (const { proxy } of workers) {
    for (const [fate, count] of Object.entries(proxy.fates)) faults[fate] = (faults[fate] ?? 0) + count
    await proxy.close()
  }
  return ended.filter((isInTime) => !isInTime).length
}

const KINDS_WITH_DEADLINE = new Set(ALL_KINDS.filter(({ hasDeadline }) => hasDeadline).map(({ name }) => name))
const hasDeadline = (kind: string) => KINDS_WITH_DEADLINE.has(kind)

interface Course {
  readonly loss: Loss | undefined
  /** When the faults were over. */
  readonly healed: number
}

/** Compares the logs with the tables. */
function judge(workers: readonly Worker[], tables: Tables, { loss, healed }: Course) {
  const logs = workers.map(({ log }) => readLog(log))
  const calls = logs.flatMap((log) => log.calls)
  const broken = check(afterLoss(calls, loss), tables)
  const uncaught = logs.flatMap((log) => log.uncaught)
  const timed = logs.flatMap((log) => times(log.calls, log.stalls))
  const growths = workers.flatMap(({ heap: { before, after } }) => (before && after ? after - before : []))
  return {
    calls: calls.length,
    outcomes: count(calls.map(({ outcome }) => outcome)),
    longest: timed.reduce((most, { call, time }) => (hasDeadline(call.kind) ? Math.max(most, time) : most), 0),
    growth: Math.max(0, ...growths),
    errors: count(calls.filter(({ outcome }) => outcome !== 'ok').map(errorOf)),
    exceptions: uncaught.filter(({ x }) => x === 'exception').length,
    lost: loss ? check(calls, tables).length - broken.length : 0,
    violations: [...broken, ...checkUncaught(uncaught), ...checkTimes(timed, hasDeadline), ...checkCalm(calls, healed)],
    open: calls.filter(({ to }) => to === undefined),
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

function errorOf({ kind, outcome, answer }: Call): string {
  const text = String(answer)
  return `${outcome} ${kind}: ${/^\w+: \w*/.exec(text)?.[0] ?? text.slice(0, 60)}`
}

function count(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}
