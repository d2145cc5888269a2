/** A process of the campaign: callers that make calls by chance, and a log of each before and after it. */
import {
  isConnectionLost,
  isTransactionConflict,
  isTransactionTimeout,
  isUnreachable,
  sqlState,
} from '../../../src/engine/error-facts.js'
import { isConcurrencyError } from '../../../src/index.js'
import { Chance } from '../../support/fuzz/chance.js'
import { KINDS, type Kind, PRISMA_KINDS, Refused } from './calls.js'
import { connect, type EngineName } from './connect.js'
import { logTo, type Outcome } from './log.js'

export interface Work {
  readonly engine: EngineName
  readonly url: string
  readonly log: string
  /** Of the worker and its incarnation. */
  readonly name: string
  readonly seed: number
  readonly callers: number
  /** The names of the kinds that it makes; all, unless given. */
  readonly only?: readonly string[]
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

  let isEnding = false
  process.once('message', () => {
    isEnding = true
  })
  const connection = await connect(work.engine, work.url)
  process.send?.('ready')
  const all = work.engine === 'prisma' ? [...PRISMA_KINDS, ...KINDS] : KINDS
  const kinds = all.filter(({ name }) => work.only?.includes(name) ?? true)
  const lot = kinds.flatMap((kind) => Array.from({ length: kind.weight }, () => kind))
  let calls = 0

  const one = async (kind: Kind, chance: Chance): Promise<void> => {
    const id = `${work.name}.${calls++}`
    const facts = kind.facts(chance)
    log({ b: id, t: Date.now(), k: kind.name, a: facts })
    const end = (o: Outcome, r: unknown) => log({ e: id, t: Date.now(), o, r })
    try {
      const answer = await kind.run(connection, id, facts)
      end('ok', answer)
    } catch (error) {
      end(outcomeOf(error, kind), textOf(error))
    }
  }
  const caller = async (_: unknown, n: number): Promise<void> => {
    const chance = new Chance(work.seed * 31 + n)
    while (!isEnding) {
      const kind = chance.pick(lot)
      // Now and then two at once, with the same facts.
      if (chance.below(6) > 0) await one(kind, chance)
      else {
        const seed = chance.below(2 ** 31)
        await Promise.all([one(kind, new Chance(seed)), one(kind, new Chance(seed))])
      }
    }
  }
  await Promise.all(Array.from({ length: work.callers }, caller))
  process.send?.('ended')
  await connection.close().catch(() => {})
  process.exit(0)
})

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
