import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { readAgain } from '../retry/read-again.js'
import { runCommitted } from '../transactions/effects.js'
import { transactionBody, type UserBody } from '../transactions/method.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { nameOf, type OperationMethods, writeOptions } from './operation-methods.js'
import { keyOfRun, periodSchema } from './period.js'
import type { OncePerResult } from './types.js'

const oncePerSchema = s.strictObject({ ...writeOptions, job: keyTextSchema, period: periodSchema })

interface OncePerCall {
  readonly session: Session
  readonly events: CallEvents | undefined
}

export async function oncePer<R>(
  methods: OperationMethods,
  { session, events }: OncePerCall,
  options: unknown,
  body: UserBody<R>,
): Promise<OncePerResult<R>> {
  const run = transactionBody(body)
  const { job, period, ...transaction } = checkArguments(oncePerSchema, options)
  const store = methods.storeOfKeys()
  const operations = await methods.load()
  const callOptions = methods.callOptions(transaction)
  const { deadline } = callOptions.transaction
  const find = () => keyOfRun(session, job, period)
  const key = await deadline.race(
    session.inTransaction ? find() : readAgain(callOptions.transaction, find),
    'the database',
  )
  events?.begin(deadline, nameOf(key))
  // The answer is given to nobody a second time.
  const call = { ...key, ...callOptions, request: undefined, whileRunning: 'refuse', keepsAnswer: false } as const
  try {
    const outcome = await operations.run(session, store, call, run)
    await runCommitted(callOptions.transaction.committed, events)
    return outcome.replayed ? { ran: false, since: outcome.since } : { ran: true, result: outcome.result }
  } catch (error) {
    // The body may have asked for other operations, and met one that runs.
    const isOwn =
      isConcurrencyError(error, 'IDEMPOTENCY_IN_PROGRESS') && error.scope === key.scope && error.key === key.key
    if (isOwn) return { ran: false, since: undefined }
    throw error
  }
}
