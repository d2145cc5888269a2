import type { IsolationLevel, RootSession, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type Events, observed } from '../events/events.js'
import { type CallOptions, callOptions, type Patience, settledPatience } from '../retry/call-options.js'
import { type ResolvedPolicy, timeSpan } from '../retry/policy.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { type Committed, runCommitted } from './effects.js'
import type { Body, RetryingTransactions, TransactionCall, TransactionContext } from './with-retry.js'

export interface TransactionWithRetryOptions extends CallOptions {
  /** The isolation level of the transaction; the database's default unless given. */
  isolationLevel?: IsolationLevel | undefined
  /** How long to wait for a connection in each attempt, in ms. Default: the time left of the deadline. */
  maxWait?: number | undefined
  /** How long each attempt may take, in ms. Default: the deadline, which it extends if it is longer. */
  timeout?: number | undefined
  /** For a body that only reads: it is kept from writing, and costs no transaction id. */
  readOnly?: boolean | undefined
}

/** A root session whose transactions run again after a conflict: the base of the ERP's features. */
export interface RetryingRoot extends RootSession {
  /** The listeners of its client, where the engine knows them by its root. */
  readonly events?: Events | undefined
  /** The retry policy of `concurrency()`, as it was given. */
  clientRetry(): CallOptions['retry']
  transactionWithRetry<R>(body: Body<R>, options?: TransactionWithRetryOptions): Promise<R>
}

/** The options of a transaction, for the schema of any call that runs one. */
export const transactionOptions = {
  ...callOptions,
  isolationLevel: s.optional(s.oneOf(['ReadUncommitted', 'ReadCommitted', 'RepeatableRead', 'Serializable'])),
  maxWait: s.optional(timeSpan),
  timeout: s.optional(timeSpan),
  readOnly: s.optional(s.boolean()),
}

const optionsSchema = s.strictObject(transactionOptions)

/** By the options of a transaction that is a part of another call: the events of that call. */
const outerEvents = new WeakMap<object, CallEvents>()

/** The options of a transaction that is a part of a call: its events are those of that call. */
export function partOf<O extends object>(events: CallEvents | undefined, options: O): O {
  if (events) outerEvents.set(options, events)
  return options
}

/** The patience of a call with these options. Its deadline begins now. */
export function patienceWith(
  clientPolicy: ResolvedPolicy,
  { retry, signal, timeout }: Pick<TransactionWithRetryOptions, 'retry' | 'signal' | 'timeout'>,
): Patience {
  // An attempt that is allowed a minute is not meant to be cut off by the default deadline.
  const isLonger = timeout !== undefined && timeout > clientPolicy.deadline && retry?.deadline === undefined
  return settledPatience(clientPolicy, { retry: isLonger ? { ...retry, deadline: timeout } : retry, signal })
}

/** Checked options, settled with the client's policy. */
export function transactionCall(
  clientPolicy: ResolvedPolicy,
  options: TransactionWithRetryOptions,
): TransactionCall & { readonly committed: Committed } {
  const { isolationLevel, maxWait, timeout, readOnly = false } = options
  const { policy, deadline } = patienceWith(clientPolicy, options)
  deadline.events = outerEvents.get(options)
  // The database takes whole ms only. Each field is named: a spread is slow.
  const committed: Committed = {}
  return { policy, deadline, isolationLevel, maxWait, timeout: timeout && Math.ceil(timeout), readOnly, committed }
}

/** A body of the user's: it is given the `tx`. */
export type UserBody<R> = (tx: object, context: TransactionContext) => Promise<R>

/** The user's body, which is given the `tx`. */
export function transactionBody<R>(body: UserBody<R>): Body<R> {
  if (typeof body !== 'function')
    throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
  return (tx, context) => body(tx.client, context)
}

/** The client method `$transactionWithRetry`: checks the arguments, then runs the transaction. */
export function transactionMethod(
  transactions: RetryingTransactions,
  clientPolicy: ResolvedPolicy,
  events: Events | undefined,
) {
  return <R>(session: Session, body: UserBody<R>, options: unknown): Promise<R> => {
    const work = async (own?: CallEvents): Promise<R> => {
      const run = transactionBody(body)
      const given = options === undefined || options === null ? {} : checkArguments(optionsSchema, options)
      const call = transactionCall(clientPolicy, given)
      if (own) call.deadline.events = own
      const result = await transactions.run(session, run, call)
      await runCommitted(call.committed, call.deadline.events)
      return result
    }
    const outer = events && typeof options === 'object' && options !== null ? outerEvents.get(options) : undefined
    return outer ? work(outer) : observed(events, '$transactionWithRetry', undefined, work)
  }
}
