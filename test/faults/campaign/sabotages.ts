// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are of templates
import type { Sabotage } from './bundle.js'
import { CALM } from './calm.js'
import type { Fate } from './faulty-proxy.js'
import type { RoundOptions } from './round.js'

export interface Trial extends Sabotage {
  /** The calls of its rounds. */
  readonly only: readonly string[]
  /** Whether the client of node-postgres has these calls. Default `true`. */
  readonly isOnPg?: boolean
  readonly callers?: number
  /** How often the network of a worker has a fault: every so many ms on average; 0: never. */
  readonly every: number
  readonly fates?: readonly Fate[]
  /** Options of its rounds that differ from those of the others. */
  readonly round?: Partial<RoundOptions>
  /** The violation that is found. */
  readonly found: RegExp
}

/** Builds that are broken on purpose. The checker has to find each of them out. */
export const SABOTAGES: readonly Trial[] = [
  {
    name: 'a version that was passed is as good as the expected one',
    file: 'versioning/row-statements.ts',
    from: 'AND ${columnOf(version)} = ${param(',
    to: 'AND ${columnOf(version)} >= ${param(',
    only: ['count'],
    isOnPg: false,
    callers: 1, // several go together in another statement
    every: 0,
    found: /lost an update|told of one version/,
  },
  {
    name: 'a lost answer is followed by a new read',
    file: 'retry/ambiguous-outcome.ts',
    from: 'return this.#lost !== undefined',
    to: 'return false',
    only: ['list'],
    isOnPg: false,
    every: 30,
    fates: ['drop'],
    found: /carried out twice|was refused, and is there/,
  },
  {
    name: 'a lost COMMIT is reported as a success',
    file: 'transactions/with-retry.ts',
    from: "if (outcome === 'aborted') throw error",
    to: "if (outcome === 'aborted') return finished.result",
    only: ['transfer'],
    every: 30,
    fates: ['cut'],
    found: /acknowledged, and is not there/,
  },
  {
    name: 'a lost COMMIT is run again blindly',
    file: 'transactions/with-retry.ts',
    from: "if (outcome === 'committed') {",
    to: "if (outcome === 'committed') throw error\n  {",
    only: ['transfer'],
    every: 30,
    fates: ['drop'],
    found: /carried out twice|was refused, and is there/,
  },
  {
    name: 'a key is claimed though it is there',
    file: 'idempotency/key-store.ts',
    from: "raw('DO NOTHING')",
    to: "raw('DO UPDATE SET request = excluded.request')",
    only: ['once', 'job'],
    every: 0,
    found: /carried out \d+ times/,
  },
  {
    name: 'the minimum is not looked at',
    file: 'stock/write.ts',
    from: '(SELECT count(*) FROM locked WHERE is_as_demanded) =',
    to: '(SELECT count(*) FROM locked) =',
    only: ['move', 'order', 'reserve'],
    every: 0,
    found: /not what its movements add up to|was refused, and is there/,
  },
  {
    name: 'a balance is written without its claim',
    file: 'stock/statements.ts',
    from: '(SELECT count(*) FROM claim) = ${param(first.length',
    to: '(SELECT count(*) FROM claim) <= ${param(first.length',
    only: ['move'],
    every: 0,
    found: /not what its movements add up to/,
  },
  {
    name: 'a reservation is released twice',
    file: 'stock/reservation-decisions.ts',
    from: "if (recorded?.state !== 'active') {",
    to: 'if (recorded === undefined) {',
    only: ['reserve', 'release', 'fulfil'],
    every: 0,
    found: /released twice|is released, and moved|was released, and is fulfilled/,
  },
  {
    name: 'a part of an order is not marked',
    file: 'stock/reservation-decisions.ts',
    from: 'fulfilled: line.fulfilled + (quantities.get(line.item.id) ?? 0n),',
    to: 'fulfilled: line.fulfilled,',
    only: ['open', 'part'],
    every: 0,
    found: /is marked with 0, and 1 were taken/,
  },
  {
    name: 'a delivery is undone as often as somebody asks',
    file: 'stock/reverse.ts',
    from: 'GROUP BY m.position, ${columnsOf(item,',
    to: 'WHERE m.position < 0 GROUP BY m.position, ${columnsOf(item,',
    only: ['supply', 'undo'],
    every: 0,
    found: /was undone twice/,
  },
  {
    name: 'a serial is given without a lock',
    file: 'serials/take.ts',
    from: "\\n      FOR NO KEY UPDATE OF s${skips ? ' SKIP LOCKED' : ''}",
    to: '',
    only: ['serials'],
    every: 0,
    found: /was told .*, and has/,
  },
  {
    name: 'a number is given without the lock of its row',
    file: 'series/statements.ts',
    from: 'SET ${last} = s.${last} + ${more}',
    to: 'SET ${last} = (SELECT c.${last} FROM ${counter.table} AS c WHERE c.${columnOf(counter.name)} = s.${columnOf(counter.name)} AND c.${period} = s.${period}) + ${more}',
    only: ['ticket'],
    every: 0,
    found: /a ticket was given twice/,
  },
  {
    name: 'an advisory lock is that of nobody else',
    file: 'locking/acquire.ts',
    from: 'hashtextextended($1::text, 0)',
    to: 'hashtextextended($1::text || clock_timestamp()::text, 0)',
    only: ['section'],
    every: 0,
    found: /two were in it at once/,
  },
  {
    name: 'a key is given back by nobody',
    file: 'sync/keyed-lock.ts',
    from: '        release()\n        forget()',
    to: '        forget()',
    only: ['section'],
    every: 0,
    round: { calm: CALM, callers: 30 },
    found: /finds no place/,
  },
  {
    name: 'each call leaves something behind',
    file: 'sync/keyed-lock.ts',
    from: '        release()\n        forget()',
    to: '        release()\n        this.#locks.set(`${Math.random()}`, new Array(50_000).fill(lock) as never)',
    only: ['section', 'ticket', 'list raw'],
    every: 0,
    round: { warmUp: 500 },
    found: /a heap has grown/,
  },
  {
    name: 'a commit that is found is not confirmed by the standby',
    file: 'retry/confirm.ts',
    from: 'if (!wasAnswerLost()) return',
    to: 'if (wasAnswerLost() || session) return',
    only: ['once', 'transfer', 'move', 'insert', 'document'],
    every: 300,
    round: { kind: 'sync', withServerFaults: true, duration: 8_000 },
    found: /is acknowledged, and is not there/,
  },
]
