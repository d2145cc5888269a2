import { type RootSession, rowOf, type Session } from '../engine/session.js'
import {
  IdempotencyInProgressError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  isConcurrencyError,
  OperationRefusedError,
  OutcomeUnknownError,
  WriteSuppressedError,
} from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { fingerprint } from '../idempotency/fingerprint.js'
import { comparable } from '../idempotency/request.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { claimOrFind } from '../sql/claim.js'
import { keyText } from '../sql/key-text.js'
import type { Deadline } from '../sync/deadline.js'
import { KeyedLock } from '../sync/keyed-lock.js'
import { patienceWith, transactionOptions } from '../transactions/method.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import type { StepsMap } from './mapping.js'
import type { StepsCall, StepsParts } from './methods.js'
import { OperationRun, Overtaken } from './operation.js'
import { claimStatement, type OperationName, pruneStatement, type StoredOperation } from './statements.js'
import { answerIn, OperationStore } from './store.js'
import type { StepsResult } from './types.js'

const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever

const { readOnly: _, ...stepOptions } = transactionOptions
const callSchema = s.strictObject({
  ...stepOptions,
  key: keyTextSchema,
  scope: keyTextSchema,
  request: s.optional(s.unknown()),
})
const pruneSchema = s.strictObject({
  olderThan: s
    .number('must be a number of ms')
    .check(s.gte(0, 'must not be negative'), s.lte(HUNDRED_YEARS, 'must not be more than a hundred years')),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(1_000_000))),
})

/** Runs operations in steps. */
export class StepRunner {
  readonly #parts: StepsParts
  readonly #turns = new KeyedLock()

  constructor(parts: StepsParts) {
    this.#parts = parts
  }

  async run<R>(
    session: Session,
    { options, body }: StepsCall<R>,
    events: CallEvents | undefined,
  ): Promise<StepsResult<R>> {
    const { map, rootOf, answerLimit } = this.#parts
    const { key, scope, request, ...given } = checkArguments(callSchema, options)
    if (typeof body !== 'function') throw new InvalidArgumentError('body', 'must be a function of the operation.')
    const name = { scope: keyText(scope, map.scope, 'scope'), key: keyText(key, map.key, 'key') }
    const print = fingerprint(comparable(request))
    const root = rootOf(rootIn(session))
    given.signal?.throwIfAborted()
    const policy = resolvePolicy(DEFAULT_POLICY, root.clientRetry())
    const { deadline } = patienceWith(policy, given)
    events?.begin(deadline, JSON.stringify([scope, key]))
    const release = await this.#turn(name, deadline)
    try {
      await map.keys.check(root)
      const store = new OperationStore(name, { root, map, policy, answerLimit, options: given, events })
      return await runFrom(store, await claim(store, print), { print, body, signal: given.signal, events })
    } finally {
      release()
    }
  }

  /** Calls of one operation take turns in this process, without a connection: nothing would be won by running beside. */
  async #turn(name: OperationName, deadline: Deadline): Promise<() => void> {
    const { scope, key } = name
    try {
      return await this.#turns.acquire(JSON.stringify([scope, key]), deadline, 'the same operation in this process')
    } catch (error) {
      if (!isConcurrencyError(error, 'DEADLINE_EXCEEDED')) throw error
      throw new IdempotencyInProgressError(scope, key, { cause: error })
    }
  }
}

interface Running<R> {
  /** The fingerprint of the request. */
  readonly print: string
  readonly body: StepsCall<R>['body']
  readonly signal: AbortSignal | undefined
  readonly events: CallEvents | undefined
}

/** Steps are committed one by one, and no transaction may be open during a call to another system. */
function rootIn(session: Session): RootSession {
  if (!session.inTransaction) return session
  throw new InvalidArgumentError(
    'client',
    'is the tx of a transaction, and steps are committed one by one. Call $steps on the client.',
  )
}

async function claim(store: OperationStore, print: string): Promise<StoredOperation> {
  const { map, name } = store
  const stored = await claimOrFind<StoredOperation>(
    async () => {
      const isNew = await store.write(claimStatement(map, name, print))
      return isNew ? { request: print, state: 'running', answer: null, steps: [] } : undefined
    },
    () => store.read(),
  )
  if (stored === undefined) throw new WriteSuppressedError(map.model.name, { ...name })
  return stored
}

/** Runs the body from what is stored; again, as long as other runners are faster. */
async function runFrom<R>(store: OperationStore, first: StoredOperation, call: Running<R>): Promise<StepsResult<R>> {
  for (let stored = first; ; ) {
    const before = stored
    const settled = await settledIn<R>(store, stored, call)
    if (settled) return settled
    try {
      return { result: await new OperationRun(store, stored, call.signal).run(call.body), replayed: false }
    } catch (error) {
      if (!(error instanceof Overtaken)) throw told(error, store.name, call.events)
    }
    const now = await store.read()
    // Claimed anew, it would do again what has been done.
    if (now === undefined) throw new OutcomeUnknownError('the row of the operation was deleted while it ran', {})
    if (JSON.stringify(now) === JSON.stringify(before)) {
      throw new WriteSuppressedError(store.map.model.name, { ...store.name })
    }
    stored = now
  }
}

/** The end of an operation that is over. */
async function settledIn<R>(
  store: OperationStore,
  stored: StoredOperation,
  { print, events }: Running<R>,
): Promise<StepsResult<R> | undefined> {
  const { scope, key } = store.name
  if (stored.request !== print) throw new IdempotencyMismatchError(store.map.model.name, { scope, key }, ['request'])
  if (stored.state !== 'done' && stored.state !== 'refused') return undefined
  const { author, text } = answerIn(stored)
  const answer = await store.decode(text)
  if (stored.state === 'refused') throw told(new OperationRefusedError(scope, key, answer), store.name, events)
  const replayed = author !== store.author
  if (replayed) events?.tell({ type: 'replay' })
  return { result: answer as R, replayed }
}

/** The core does not know that this error is a refusal. */
function told(error: unknown, { scope, key }: OperationName, events: CallEvents | undefined): unknown {
  if (isConcurrencyError(error, 'OPERATION_REFUSED') && error.scope === scope && error.key === key) {
    events?.tell({ type: 'refusal', code: error.code })
  }
  return error
}

/** `$pruneSteps` */
export async function pruneOperations(session: Session, map: StepsMap, options: unknown): Promise<{ count: number }> {
  const { olderThan, batchSize = 1_000 } = checkArguments(pruneSchema, options)
  for (let count = 0; ; ) {
    const deleted = await rowOf<{ count: number }>(session, pruneStatement(map, olderThan, batchSize))
    count += deleted.count
    if (deleted.count < batchSize) return { count }
  }
}
