/**
 * A workload: one kind of concurrent work, the same for each contender, with an audit
 * at its end. One file each under `workloads/`; `workloads/index.ts` lists them in the order of the report.
 */
import type pg from 'pg'
import type { OperationName, Outcome, Session } from './contender.js'

export interface Workload {
  /** The file's name without its ending, and what varies: `stock-move-256`. */
  readonly id: string
  readonly title: string
  /** Its purpose in a sentence or two, for the report. */
  readonly about: string
  /** Those workloads of which one is a point of a curve share this, such as `stock-move`; `axis` says of what. */
  readonly curve?: { readonly id: string; readonly axis: 'callers' | 'processes' | 'rows'; readonly value: number }
  /** Only in the full form, unless this is said. */
  readonly short?: boolean
  /** The operation that a contender needs to take part. */
  readonly operation: OperationName
  readonly processes: number
  /** Callers per process: each makes its next call when its last one is answered. */
  readonly callers: number
  /** Connections per process. */
  readonly poolSize: number
  /** Fills a fresh database, in which the tables of `prisma/bench` are and nothing else. Not measured. */
  fill(database: pg.ClientBase): Promise<void>
  /**
   * Makes a caller, in the contender's process. It is called again and again, and tells under
   * which key its call is tallied for the audit.
   */
  caller(session: Session, place: Place): Call
  /** Looks in the database, after the run, for what must never happen. */
  audit(database: pg.ClientBase, tally: Tally): Promise<Audit>
}

/** Where a caller stands. */
export interface Place {
  /** Unique among all callers of all processes: the beginning of the transaction ids it makes. */
  readonly name: string
  /** From 0, counted through all processes. */
  readonly index: number
  /** How many callers there are in all processes together. */
  readonly of: number
}

/** Does one operation. */
export type Call = () => { readonly key: string; readonly outcome: Promise<Outcome> }

/** How the calls of a key ended, from the first of the warm-up to the last, all processes together. */
export interface KeyTally {
  readonly done: number
  /** Done as well, but with the answer that the stock does not suffice. */
  readonly refused: number
  /** It may have been written all the same, if only the answer was lost. */
  readonly failed: number
}

export type Tally = Readonly<Record<string, KeyTally>>

/** The errors in the database; all 0 for a contender that is right. */
export interface Audit {
  /** Calls that were answered as done and are not there. */
  readonly lost: number
  /** Effects that are there although no call made them, or more than once. */
  readonly doubled: number
  /** Stocks below zero. */
  readonly negative: number
  /** Other errors: balances that are not the sum of their movements, gaps in a series. */
  readonly inconsistent: number
}
