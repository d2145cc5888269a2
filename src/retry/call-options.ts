import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { type ResolvedPolicy, type RetryPolicy, resolvePolicy, retryPolicySchema } from './policy.js'

/** The options that every call takes besides its own arguments. */
export interface CallOptions {
  /** The values that this call sets over the client's retry policy. */
  retry?: RetryPolicy | undefined
  /** Ends a wait of this call at once. A write that was committed stays a success. */
  signal?: AbortSignal | undefined
}

export const callOptions = {
  retry: s.optional(retryPolicySchema),
  signal: s.optional(s.custom<AbortSignal>(isAbortSignal, 'must be an AbortSignal')),
}

const callOptionsSchema = s.object(callOptions)

/** How a call is retried, and until when: the client's policy, with the call's own values over it. */
export interface Patience {
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
}

/** @throws InvalidArgumentError that names the field */
export function patienceOf(clientPolicy: ResolvedPolicy, options: { retry?: unknown; signal?: unknown }): Patience {
  // Most calls bring nothing of their own, and need no check.
  if (options.retry === undefined && options.signal === undefined) return settledPatience(clientPolicy, {})
  return settledPatience(
    clientPolicy,
    checkArguments(callOptionsSchema, { retry: options.retry, signal: options.signal }),
  )
}

/** The same for options that are checked. */
export function settledPatience(clientPolicy: ResolvedPolicy, { retry, signal }: CallOptions): Patience {
  const policy = retry === undefined ? clientPolicy : resolvePolicy(clientPolicy, retry)
  return { policy, deadline: new Deadline(policy.deadline, signal, systemClock) }
}

/** An object that only has the prototype, such as a proxy, cannot be asked whether it is aborted. */
function isAbortSignal(value: unknown): boolean {
  try {
    return value instanceof AbortSignal && typeof value.aborted === 'boolean'
  } catch {
    return false
  }
}
