// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are of templates
import type { Sabotage } from './bundle.js'
import { CALM } from './calm.js'
import type { Fate } from './faulty-proxy.js'
import type { RoundOptions } from './round.js'

/** A build that is broken on purpose, in places that do not hide each other, and its rounds. */
export interface Trial {
  readonly name: string
  readonly breaks: readonly Break[]
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
}

interface Break extends Sabotage {
  /** The violation that is found. */
  readonly found: RegExp
}

/** The checker has to find out each of them. */
export const TRIALS: readonly Trial[] = [
  {
    name: 'keys, locks, numbers and ends that count for nothing',
    breaks: [
      {
        name: 'a key is claimed though it is there',
        file: 'idempotency/key-store.ts',
        from: "raw('DO NOTHING')",
        to: "raw('DO UPDATE SET request = excluded.request')",
        found: /once \d+ was carried out \d+ times/,
      },
      {
        name: 'a reservation is released twice',
        file: 'stock/reservation-decisions.ts',
        from: "if (recorded?.state !== 'active') {",
        to: 'if (recorded === undefined) {',
        found: /basket \d+ (was released twice|is released, and moved|was released, and is fulfilled)/,
      },
      {
        name: 'a part of an order is not marked',
        file: 'stock/reservation-decisions.ts',
        from: 'fulfilled: line.fulfilled + (quantities.get(line.item.id) ?? 0n),',
        to: 'fulfilled: line.fulfilled,',
        found: /is marked with 0, and 1 were taken/,
      },
      {
        name: 'a serial is given without a lock',
        file: 'serials/take.ts',
        from: "\\n      FOR NO KEY UPDATE OF s${skips ? ' SKIP LOCKED' : ''}",
        to: '',
        found: /serials \d+ was told .*, and has/,
      },
      {
        name: 'a number is given without the lock of its row',
        file: 'series/statements.ts',
        from: 'SET ${last} = s.${last} + ${more}',
        to: 'SET ${last} = (SELECT c.${last} FROM ${counter.table} AS c WHERE c.${columnOf(counter.name)} = s.${columnOf(counter.name)} AND c.${period} = s.${period}) + ${more}',
        found: /a ticket was given twice/,
      },
      {
        name: 'an advisory lock is that of nobody else',
        file: 'locking/acquire.ts',
        from: 'hashtextextended($1::text, 0)',
        to: 'hashtextextended($1::text || clock_timestamp()::text, 0)',
        found: /two were in it at once/,
      },
      {
        name: 'something is deferred in a closed period',
        file: 'stock/period.ts',
        from: 'WHERE (${isClosed(date, closedUntil)}) IS NOT TRUE\n      ORDER',
        to: 'ORDER',
        found: /post \d+ (was made in a closed period|is deferred, and its period is closed)/,
      },
      {
        name: 'a history is pruned in its middle',
        file: 'stock/prune.ts',
        from: 'return isOver && locked.has(id) && isBeginning && ',
        to: 'return isOver && locked.has(id) && ',
        found: /the history of account \d: number \d+ with -?\d+ follows number/,
      },
    ],
    only: [
      ...['once', 'reserve', 'release', 'fulfil', 'open', 'part', 'serials', 'ticket', 'section'],
      ...['book', 'amend', 'post', 'close', 'prune'],
    ],
    callers: 24,
    every: 0,
    round: { duration: 4_000 },
  },
  {
    name: 'balances that nobody looks at',
    breaks: [
      {
        name: 'the minimum is not looked at',
        file: 'stock/write.ts',
        from: '(SELECT count(*) FROM locked WHERE is_as_demanded) =',
        to: '(SELECT count(*) FROM locked) =',
        found: /not what its movements add up to|was refused, and is there/,
      },
      {
        name: 'a delivery is undone as often as somebody asks',
        file: 'stock/reverse.ts',
        from: "ON ${isOf(originals, 't')}",
        to: "ON false AND ${isOf(originals, 't')}",
        found: /supply \d+ was undone twice/,
      },
      {
        name: 'what is pruned is in no opening balance',
        file: 'stock/prune.ts',
        from: '+ s.quantity${touches(',
        to: '+ 0 * s.quantity${touches(',
        found: /it begins with -?\d+, and its opening balance is/,
      },
      {
        name: 'of several items the numbers are those of another one',
        file: 'stock/numbering.ts',
        from: 'array_agg(sequence ORDER BY position)',
        to: 'array_agg(sequence ORDER BY position DESC)',
        found: /a look at the ledger does not fit/,
      },
    ],
    only: ['move', 'order', 'reserve', 'supply', 'undo', 'book', 'pair', 'close', 'prune', 'look', 'walk'],
    callers: 18,
    every: 0,
    round: { duration: 4_000 },
  },
  {
    name: 'a version that was passed, which is as good as the expected one',
    breaks: [
      {
        name: 'a version that was passed is as good as the expected one',
        file: 'versioning/row-statements.ts',
        from: 'AND ${columnOf(version)} = ${param(',
        to: 'AND ${columnOf(version)} >= ${param(',
        found: /lost an update|told of one version/,
      },
    ],
    only: ['count'],
    isOnPg: false,
    callers: 1, // several go together in another statement
    every: 0,
  },
  {
    name: 'a lost answer that is followed by a new read',
    breaks: [
      {
        name: 'a lost answer is followed by a new read',
        file: 'retry/ambiguous-outcome.ts',
        from: 'return this.#lost !== undefined',
        to: 'return false',
        found: /carried out twice|was refused, and is there/,
      },
    ],
    only: ['list'],
    isOnPg: false,
    every: 120,
    fates: ['drop'],
    callers: 12,
    round: { duration: 5_000 },
  },
  {
    name: 'a lost COMMIT that is run again blindly',
    breaks: [
      {
        name: 'a lost COMMIT is run again blindly',
        file: 'transactions/with-retry.ts',
        from: "if (outcome === 'committed') {",
        to: "if (outcome === 'committed') throw error\n  {",
        found: /carried out twice|was refused, and is there/,
      },
    ],
    only: ['transfer'],
    every: 120,
    fates: ['drop'],
    callers: 12,
    round: { duration: 5_000 },
  },
  {
    name: 'a lost COMMIT that is reported as a success',
    breaks: [
      {
        name: 'a lost COMMIT is reported as a success',
        file: 'transactions/with-retry.ts',
        from: "if (outcome === 'aborted') throw error",
        to: "if (outcome === 'aborted') return finished.result",
        found: /a transfer is acknowledged, and is not there/,
      },
    ],
    only: ['transfer'],
    every: 30,
    fates: ['cut'],
  },
  {
    name: 'keys that nobody gives back',
    breaks: [
      {
        name: 'a key is given back by nobody',
        file: 'sync/keyed-lock.ts',
        from: '        release()\n        forget()',
        to: '        forget()',
        found: /finds no place/,
      },
    ],
    only: ['section'],
    every: 0,
    round: { calm: CALM, callers: 30 },
  },
  {
    name: 'calls that leave something behind',
    breaks: [
      {
        name: 'each call leaves something behind',
        file: 'sync/keyed-lock.ts',
        from: '        release()\n        forget()',
        to: '        release()\n        this.#locks.set(`${Math.random()}`, new Array(50_000).fill(lock) as never)',
        found: /a heap has grown/,
      },
    ],
    only: ['section', 'ticket', 'list raw'],
    every: 0,
    round: { warmUp: 500 },
  },
  {
    name: 'a commit that is found, and is not confirmed by the standby',
    breaks: [
      {
        name: 'a commit that is found is not confirmed by the standby',
        file: 'retry/confirm.ts',
        from: 'if (!wasAnswerLost()) return',
        to: 'if (wasAnswerLost() || session) return',
        found: /is acknowledged, and is not there/,
      },
    ],
    only: ['once', 'transfer', 'move', 'insert', 'document'],
    every: 300,
    round: { kind: 'sync', withServerFaults: true, duration: 8_000 },
  },
]
