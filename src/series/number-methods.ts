import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type CallOptions, callOptions, patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { isStorableText, NOT_STORABLE } from '../values/text.js'
import { keyTextSchema } from '../values/validation.js'
import { type CallArguments, numberOptions, type ReadArguments } from './call-arguments.js'
import { findGaps } from './gaps.js'
import type { Series, SeriesMap } from './mapping.js'
import { peekNumber } from './peek.js'
import type { Gap } from './store.js'
import type { ClosedPeriod, PeekedNumber, VoidedNumber } from './types.js'
import { closePeriod, voidNumber } from './voids.js'

const gapsSchema = s.strictObject({
  series: keyTextSchema,
  // The period of a series that never begins again is empty.
  period: s.optional(s.string().check(s.refine(isStorableText, NOT_STORABLE))),
})
const peekSchema = s.strictObject({ series: keyTextSchema, at: numberOptions.at })
const closeOptions = {
  ...callOptions,
  series: keyTextSchema,
  period: s.optional(keyTextSchema),
  reason: s.string().check(s.minLength(1, 'must not be empty'), s.refine(isStorableText, NOT_STORABLE)),
}
const closeSchema = s.strictObject(closeOptions)
const voidSchema = s.strictObject({
  ...closeOptions,
  value: s
    .union([s.whole(), s.bigint()], 'must be a whole number')
    .check(s.refine((value) => value >= 0 && value < 2n ** 63n, 'must be a number of the series')),
})

interface Parts {
  readonly map: SeriesMap
  readonly root: RetryingRoot
  readonly policy: ResolvedPolicy
  readonly read: ReadArguments
}

/** The methods of `$series` that give no number, but look at numbers, and account for them. */
export class NumberMethods {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async gaps(session: Session, args: CallArguments): Promise<Gap[]> {
    const { map, read } = this.#parts
    const { series, period } = read(gapsSchema, args)
    return findGaps(session, map, series, period)
  }

  async peek(session: Session, args: CallArguments): Promise<PeekedNumber> {
    const { map, read } = this.#parts
    const { series, at } = read(peekSchema, args)
    return peekNumber(session, map, { series, at })
  }

  async void(session: Session, args: CallArguments, events?: CallEvents): Promise<VoidedNumber> {
    const { map, read } = this.#parts
    const { series, value, reason, ...given } = read(voidSchema, args)
    if (series.blocks !== undefined) throw new InvalidArgumentError('series', 'may have gaps, which need no reason.')
    const call = { series, value: BigInt(value), period: periodOf(series, given.period), reason }
    return this.#write(session, given, events, (tx) => voidNumber(tx, map, call))
  }

  async closePeriod(session: Session, args: CallArguments, events?: CallEvents): Promise<ClosedPeriod> {
    const { map, read } = this.#parts
    const { series, reason, ...given } = read(closeSchema, args)
    const period = periodOf(series, given.period)
    const voided = await this.#write(session, given, events, (tx) => closePeriod(tx, map, { series, period, reason }))
    return { period, voided }
  }

  /** Statements that belong together: in the transaction of the caller, or in one of their own. */
  #write<R>(
    session: Session,
    given: CallOptions,
    events: CallEvents | undefined,
    body: (tx: Session) => Promise<R>,
  ): Promise<R> {
    const { root, policy } = this.#parts
    given.signal?.throwIfAborted()
    const patience = patienceOf(policy, given)
    events?.begin(patience.deadline)
    if (session.inTransaction) return serializeInTransaction(session, patience.deadline, () => body(session))
    return ownStatements(root, { ...patience, waitedFor: 'numbers of the series' }, body)
  }
}

/** The period that a call names. A series that never begins again has one alone, which is empty. */
function periodOf({ format: { unit } }: Series, given: string | undefined): string {
  if ((unit === undefined) === (given === undefined)) return given ?? ''
  const message = unit ? 'must be given: the series begins again.' : 'must not be given: the series never begins again.'
  throw new InvalidArgumentError('period', message)
}
