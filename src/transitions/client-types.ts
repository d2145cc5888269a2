import type { Types } from '@prisma/client/runtime/client'
import type { Outbox } from '../outbox/types.js'
import type { Exactly, GivenArgs, Payload, RecordOf, Scalars, UniqueWhere } from '../prisma/types.js'
import type { CallOptions } from '../retry/call-options.js'
import type { ScalarData } from '../versioning/types.js'

/*
 * T is the type of a model's delegate, such as that of `db.order`; O is the type of the options
 * that `concurrency()` was given.
 */

/** The moves of the model, as they were declared. */
type Declared<T, O> = O extends { readonly transitions: infer X }
  ? Payload<T>['name'] extends keyof X
    ? X[Payload<T>['name']]
    : never
  : never

/** The name of the field that has the state. */
export type StateField<T, O> = Declared<T, O> extends { readonly field: infer F } ? F & keyof Scalars<T> : never

/** The type of the model's states: an enum, or `string`. */
export type StateOf<T, O> = Scalars<T>[StateField<T, O>]

/** The states that a record can be moved to. A model without moves has the reason instead. */
export type ReachableState<T, O> = [Declared<T, O>] extends [never]
  ? NoMoves<Payload<T>['name'] & string>
  : Declared<T, O> extends { readonly from: infer F }
    ? Extract<Target<F[keyof F]>, StateOf<T, O>>
    : never

type Target<L> = L extends readonly (infer S)[] ? S : never

type NoMoves<Model extends string> = `${Model} has no moves: name them in concurrency({ transitions })` & {
  readonly none: never
}

/** Columns of the row of the history that the package does not fill in. */
export type HistoryData<T, O> =
  Declared<T, O> extends { readonly history: { readonly model: infer H } }
    ? T extends Types.Extensions.DynamicModelExtensionThis<infer Map, PropertyKey, infer _>
      ? H extends keyof Map['model']
        ? Partial<Map['model'][H]['payload']['scalars']>
        : never
      : never
    : never

/** The members that the extensions have added to the client of a model. */
type MembersOf<T> =
  T extends Types.Extensions.DynamicModelExtensionThis<infer _Map, PropertyKey, infer E>
    ? E extends { readonly client: infer C }
      ? C
      : never
    : never

/** A message of the outbox, with the payload of its topic. A client without `outbox()` has the reason instead. */
export type MoveMessage<T> =
  MembersOf<T> extends { readonly $outbox: () => Outbox<infer Topics, infer _Tx> }
    ? { [K in keyof Topics & string]: MessageOf<K, Topics[K]> }[keyof Topics & string]
    : 'this client has no outbox(): apply it after concurrency()' & { readonly none: never }

interface MessageOf<K, P> {
  topic: K
  payload: P
  /** Messages of one key are sent one after the other, in the order of their commits. */
  key?: string | undefined
}

export type TransitionArgs<T, O> = CallOptions & {
  /** The record, by a unique key, and perhaps conditions such as a tenant; neither its state nor its version. */
  where: UniqueWhere<T> & { [K in StateField<T, O>]?: never }
  /** The new state. */
  to: ReachableState<T, O>
  /** Other columns to write with it: plain values, `set`, `increment` and `decrement`. */
  data?: (ScalarData<T, O> & { [K in StateField<T, O>]?: never }) | undefined
  /** Further columns of the row of the history, such as who has moved it. */
  history?: HistoryData<T, O> | undefined
  /** A message for `$outbox.relay`, committed together with the move. Only the call that moves the record adds it. */
  outbox?: MoveMessage<T> | undefined
}

/** The outcome of a move. */
export type TransitionResult<T, O, S> =
  /** The record was moved by this call: it is as it was written. */
  | { readonly status: 'moved'; readonly record: RecordOf<T, S> }
  /** It was in the state already, by another call, or by this one, if its first answer was lost. */
  | { readonly status: 'already'; readonly record: RecordOf<T, S> }
  /** No move leads there from its state. Nothing was written. */
  | { readonly status: 'illegal'; readonly current: StateOf<T, O> }
  | { readonly status: 'missing' }

/** The type of `transition`. `in out`: as of the methods of versioned writes. */
export type Transition<in out O> = <T, const S extends GivenArgs>(
  this: T,
  args: TransitionArgs<T, O> & Exactly<T, S>,
) => Promise<TransitionResult<T, O, S>>

/** Of a client: a reason that nothing fits, if the moves name a model, a field or a state that it does not have. */
export type MovesFit<C, X> = { [M in keyof X]: MoveFits<C, M, X[M]> }[keyof X] extends infer Reasons
  ? [Exclude<Reasons, true>] extends [never]
    ? unknown
    : { readonly $transitions: Exclude<Reasons, true> }
  : never

type MoveFits<C, M, X> = M extends string
  ? Uncapitalize<M> extends keyof C
    ? X extends { readonly field: infer F; readonly from: infer From }
      ? F extends keyof Scalars<C[Uncapitalize<M>]>
        ? Exclude<keyof From | Target<From[keyof From]>, Scalars<C[Uncapitalize<M>]>[F]> extends infer Wrong
          ? [Wrong] extends [never]
            ? true
            : `${Wrong & string} is no state of ${M}`
          : never
        : `${F & string} is no field of ${M}`
      : true
    : `${M} is no model`
  : true

/** The method of moves that every model has. O is the type of the options of `concurrency()`. */
export interface TransitionModelMethods<O> {
  /**
   * Moves a record to another state, if the moves in `concurrency({ transitions })` lead there from the state that it is
   * in: one UPDATE with the states that it may come from in its WHERE, so of several callers at once one moves it. The
   * version goes up by one, where the model has one.
   *
   * With `outbox` the one that moves it adds a message, in the same transaction: `already`, `illegal` and `missing` add none.
   *
   * An answer that was lost is found out by asking again: `already` is true then, too.
   *
   * @returns `{ status: 'moved', record }` to the one that moved it; `{ status: 'already', record }` if it is in that
   *   state; `{ status: 'illegal', current }` with the state that it is in, from which it cannot go there; `{ status: 'missing' }`
   * @throws ConfigurationError for an `outbox` on a client without `outbox()`
   * @throws OutcomeUnknownError if the connection was lost, and the record has gone on to a third state, or is gone
   *
   * @example
   * const shop = base.$extends(concurrency({ transitions: { Parcel: { field: 'state', from: { PENDING: ['PAID'] } } } }))
   * const { status } = await shop.parcel.transition({ where: { id }, to: 'PAID' })
   */
  transition: Transition<O>
}
