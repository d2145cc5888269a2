import { type ClientSetup, setupOf } from '../engine/setup.js'
import { type Finding, InvalidArgumentError } from '../errors/index.js'
import { isTransactionClient } from '../prisma/client.js'
import { clientContext, type Implementation } from '../prisma/extension.js'
import type { CheckConcurrencyOptions, DatabaseCapabilities } from './types.js'

/** The type of `$checkConcurrency`. */
export type CheckConcurrency = (options?: CheckConcurrencyOptions) => Promise<readonly Finding[]>

/** The method of checks that the client has. */
export interface CheckClientMethods {
  /**
   * Looks for what would break promises of the package: tables and columns that are missing or of another type, keys
   * that are no full unique index, version columns that take NULL, triggers, privileges, settings of the server, the
   * size of the pool, slots of items that are numbered wrongly, and whether the database behaves as PostgreSQL does. It changes
   * nothing. Call it when your program
   * starts; the command `prisma-extension-concurrency doctor` does the same in CI, and sees more of a pooler.
   *
   * It sends a few dozen statements, on two connections at once, and needs no privilege beyond those of the calls.
   *
   * @returns the findings, the worst first; each with the damage that it can do, and the SQL that mends it
   * @throws ConcurrencyCheckError with `throw: true`, if a finding is an error
   * @throws InvalidArgumentError on a `tx`
   *
   * @example
   * await db.$checkConcurrency({ throw: true })
   */
  $checkConcurrency: CheckConcurrency
  /**
   * Tells how the database behaves, and its kind: whether locks keep others out, whether it is a standby, whether it has
   * Citus. Each behaviour is tried, since a database that speaks PostgreSQL's language may do something else. That is
   * done once for a client, by the first call, on two connections at once.
   *
   * @throws InvalidArgumentError on a `tx`
   *
   * @example
   * const { advisoryLocks } = await db.$capabilities()
   * if (!advisoryLocks) throw new Error('Jobs would run twice here.')
   */
  $capabilities(): Promise<DatabaseCapabilities>
}

/** The method as it is run. The checks are loaded by the first call: a program that has none does not load them. */
export function checkClientMethods(): Implementation<CheckClientMethods> {
  let tried: Promise<DatabaseCapabilities> | undefined
  return {
    async $checkConcurrency(options) {
      const setup = setupIn(this)
      return (await import('./check.js')).checkSetup(setup, options)
    },
    async $capabilities() {
      const setup = setupIn(this)
      tried ??= (await import('./check.js')).capabilitiesOf(setup).catch((error: unknown) => {
        tried = undefined
        throw error
      })
      return tried
    },
  }
}

function setupIn(given: object): ClientSetup {
  const client = clientContext(given)
  const setup = isTransactionClient(client) ? undefined : setupOf(client)
  if (!setup) throw new InvalidArgumentError('this', 'must be the client, not the tx of a transaction.')
  return setup
}
