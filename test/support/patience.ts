import { DEFAULT_POLICY, DEFAULT_TRANSACTION } from '../../src/retry/policy.js'

/** The times of a user's calls, unless they say otherwise. */
const USUAL = { policy: { ...DEFAULT_POLICY }, transaction: { ...DEFAULT_TRANSACTION } }
/** In ms. */
const LONG = 30_000

/** Whether calls have more time than a user's, unless they are given a deadline. */
export function setPatience(isPatient: boolean): void {
  Object.assign(DEFAULT_POLICY, USUAL.policy, isPatient && { deadline: LONG })
  Object.assign(DEFAULT_TRANSACTION, USUAL.transaction, isPatient && { maxWait: LONG, timeout: LONG })
}
