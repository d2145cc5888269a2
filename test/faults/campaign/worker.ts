/** A process of the campaign: callers that make calls by chance, and a log of each before and after it. */
import { once } from 'node:events'
import {
  isConnectionLost,
  isTransactionConflict,
  isTransactionTimeout,
  isUnreachable,
  sqlState,
} from '../../../src/engine/error-facts.js'
import { isConcurrencyError } from '../../../src/index.js'
import { Chance } from '../../support/fuzz/chance.js'
import { departmentsOf } from './calls.js'
import { connect, type EngineName } from './connect.js'
import { type Kind, ReadFailed, Refused } from './kind.js'
import { type Line, logTo, type Outcome } from './log.js'

export interface Work {
  readonly engine: EngineName
  readonly url: string
  readonly log: string
  /** Of the worker and its incarnation. */
  readonly name: string
  readonly seed: number
  readonly callers: number
  /** When the round began, in ms. */
  readonly since: number
  /** Whether it makes calls without faults first, and then waits. */
  readonly warmsUp: boolean
  /** The names of the kinds that it makes; all, unless given. */
  readonly only?: readonly string[]
}

/** A message to a worker: `rest` when it has warmed up, then `go`, and `end`. */
export type Order = 'rest' | 'go' | 'end'

/** A message of a worker: `resting` and `ended` when no call is under way, with the heap that is left after a collection. */
export interface Report {
  readonly state: 'ready' | 'resting' | 'ended'
  readonly heap: number
}

process.once('message', async (work: Work) => {
  const log = logTo(work.log)
  for (const [event, x] of [
    ['unhandledRejection', 'rejection'],
    ['uncaughtException', 'exception'],
  ] as const) {
    process.on(event, (error: unknown) => {
      log({ x, t: Date.now(), r: error instanceof Error ? `${error.stack}` : String(error) })
    })
  }
  process.once('disconnect', () => process.exit(1)) // nobody reads the logs any more
  const orders = new Set<Order>()
  const ordered = new EventTarget()
  process.on('message', (order: Order) => {
    orders.add(order)
    ordered.dispatchEvent(new Event(order))
  })
  const tell = (state: Report['state']) => process.send?.({ state, heap: heapLeft() } satisfies Report)
  noteStalls(log)

  const connection = await connect(work.engine, work.url)
  const departments = departmentsOf(work.engine)
    .map((kinds) => kinds.filter(({ name }) => work.only?.includes(name) ?? true))
    .map((kinds) => kinds.flatMap((kind) => Array.from({ length: kind.weight }, () => kind)))
    .filter((lot) => lot.length > 0)
  const chances = Array.from({ length: work.callers }, (_, n) => new Chance(work.seed * 31 + n))
  let calls = 0

  const one = async (kind: Kind, chance: Chance): Promise<void> => {
    const id = `${work.name}.${calls++}`
    const facts = kind.facts(chance, Math.floor((Date.now() - work.since) / 1_000))
    log({ b: id, t: Date.now(), k: kind.name, a: facts })
    const end = (o: Outcome, r: unknown) => log({ e: id, t: Date.now(), o, r })
    try {
      const answer = await kind.run(connection, id, facts, () => log({ m: id, t: Date.now() }))
      end('ok', answer)
    } catch (error) {
      if (error instanceof ReadFailed) log({ m: id, t: Date.now() }) // its deadline never began
      end(outcomeOf(error, kind), textOf(error))
    }
  }
  const callUntil = async (order: Order): Promise<void> => {
    const caller = async (chance: Chance, n: number): Promise<void> => {
      const lot = departments[n % departments.length] ?? []
      while (!orders.has(order)) {
        const kind = chance.pick(lot)
        // Now and then two at once, with the same facts.
        if (chance.below(6) > 0) await one(kind, chance)
        else {
          const seed = chance.below(2 ** 31)
          await Promise.all([one(kind, new Chance(seed)), one(kind, new Chance(seed))])
        }
        await immediate() // a call that needs no answer of the server leaves room for those that do
      }
    }
    await Promise.all(chances.map(caller))
  }
  tell('ready')
  if (work.warmsUp) {
    await callUntil('rest')
    tell('resting')
    if (!orders.has('go')) await once(ordered, 'go')
  }
  await callUntil('end')
  tell('ended')
  await connection.close().catch(() => {})
  process.exit(0)
})

const immediate = () => new Promise((resolve) => setImmediate(resolve))

/** In bytes, after a collection of all that nobody needs. */
function heapLeft(): number {
  global.gc?.()
  return process.memoryUsage().heapUsed
}

const TICK = 20

/** Notes when this process was not run, so that a call is not blamed for it. */
function noteStalls(log: (line: Line) => void): void {
  let last = Date.now()
  setInterval(() => {
    const now = Date.now()
    if (now - last > TICK + 10) log({ s: now - last - TICK, t: now })
    last = now
  }, TICK).unref()
}

function outcomeOf(error: unknown, { isOurs }: Kind): Outcome {
  if (error instanceof Refused) return 'no'
  if (isConcurrencyError(error)) {
    if (error.code === 'OUTCOME_UNKNOWN') return 'unknown'
    return error.code === 'DEADLINE_EXCEEDED' && error.mayTakeEffect ? 'unknown' : 'no'
  }
  if (isConnectionLost(error)) return isOurs ? 'away' : 'unknown'
  if (isUnreachable(error) || isTransactionTimeout(error) || isTransactionConflict(error)) return isOurs ? 'away' : 'no'
  return sqlState(error) === undefined && !isOurs ? 'unknown' : 'no'
}

function textOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? `${String(error.code)}: ` : ''
  const message = error instanceof Error ? error.message : String(error)
  return `${code}${sqlState(error) ?? ''} ${message}`.slice(0, 400)
}
