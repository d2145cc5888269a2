import type { TransactionOptions } from '../engine/session.js'
import type { TriedCapabilities } from './types.js'

/** A behaviour of PostgreSQL's that calls rely on. */
export interface Capability {
  /** Of those that the client tells. */
  readonly name?: keyof TriedCapabilities
  /** The fault where the database lacks it. */
  readonly what: string
  readonly cost: string
  /** @returns whether the database has it */
  tried(): Promise<boolean>
}

/** Whether the database has it, and what it said if it has not. */
export interface Outcome {
  readonly capability: Capability
  readonly works: boolean
  readonly reason: string
}

/** The options of a transaction of a check. */
export const READ_COMMITTED: TransactionOptions = { isolationLevel: 'ReadCommitted', maxWait: 5_000, timeout: 15_000 }
