import type { TransactionOptions } from '../engine/session.js'

/** A behaviour of PostgreSQL's that calls rely on. */
export interface Capability {
  /** The fault where the database lacks it. */
  readonly what: string
  readonly cost: string
  /** @returns whether the database has it */
  tried(): Promise<boolean>
}

/** The options of a transaction of a check. */
export const READ_COMMITTED: TransactionOptions = { isolationLevel: 'ReadCommitted', maxWait: 5_000, timeout: 15_000 }
