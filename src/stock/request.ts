import type { Patience } from '../retry/call-options.js'
import type { Scope } from '../sql/scope.js'
import type { Deadline } from '../sync/deadline.js'
import type { Decider } from './decider.js'
import type { foldCounted } from './fold-counted.js'
import type { Item } from './item.js'
import type { LineData } from './line-data.js'
import type { Period } from './period.js'
import type { Reversal } from './reverse.js'
import type { Room } from './room.js'

/**
 * The kinds of requests. `take` moves as much as there is. `release`, `fulfil`, `extend` and `change` are of a reservation,
 * and `reverse` undoes a movement.
 */
export type Kind = 'move' | 'take' | 'count' | 'reserve' | 'release' | 'fulfil' | 'extend' | 'change' | 'reverse'

/** So much of one item. In a `count`, how much was found. */
export interface Line {
  readonly item: Item
  readonly quantity: bigint
  readonly data?: LineData
  /** The transaction id of the movement that it undoes. */
  readonly reverses?: string
}

/** A transaction id, which is unique in its scope. */
export interface Claimed {
  readonly scope: Scope
  readonly transactionId: string
}

/** One text for each transaction id and scope: keys hold no NUL. */
export function nameOf({ scope, transactionId }: Claimed): string {
  return scope.length === 0 ? transactionId : `${scope.join('\0')}\0${transactionId}`
}

/** Decides a request by the state that those before it have left. Refuses it by an error, before anything is written. */
export type Decide = (decider: Decider, request: Request) => Decision

/** A call that has been checked. */
export interface Request extends Claimed, Patience {
  readonly kind: Kind
  readonly decide: Decide
  /** One per item. Those of a reservation are known before its items are locked, and their quantities may change. */
  readonly lines: readonly Line[]
  /** The reservation that it is of, where that has another transaction id. */
  readonly of?: Claimed
  /** The ids of their items. */
  readonly resources: string | readonly string[]
  /** How much must stay of each item; `null` is no limit, `undefined` leaves it to the item. */
  readonly minimum: bigint | null | undefined
  /** Requests of one group can be written by one INSERT: see LineData. */
  readonly group?: string
  readonly reversal?: Reversal
  /** Of a count: folds what is deferred of its items first. */
  readonly folds?: typeof foldCounted
  /** Of a ledger whose movements have a date. */
  readonly period?: Period
  /** Of a call that there is a maximum for. */
  readonly room?: Room
  readonly deadline: Deadline
}

/** The outcome of a request. */
export type Decision = Done | { readonly status: 'refused'; readonly error: unknown }

export interface Done {
  readonly status: 'done'
  readonly replayed: boolean
  /** As recorded: for a replay, by the call that came first. */
  readonly lines: readonly MovedLine[]
  /** Of a reservation. */
  readonly expiresAt?: Date | null
  readonly state?: 'active' | 'released' | 'fulfilled' | 'expired' | 'missing'
}

export interface MovedLine extends Line {
  /** The quantity on hand after it; for a replay, that of now. */
  readonly balance: bigint
}
