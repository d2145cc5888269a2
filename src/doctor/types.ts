export interface CheckConcurrencyOptions {
  /** Whether errors that are found are thrown, as a ConcurrencyCheckError. Default false. */
  readonly throw?: boolean
  /** The models that must have the trigger of `versionTriggerSql`, besides those with `bumpPlainWrites: false`. */
  readonly triggers?: readonly string[]
}

/** Behaviours of the database that calls rely on, as they were tried: `undefined` where that was not possible. */
export interface TriedCapabilities {
  /** An advisory lock keeps a second transaction out. */
  readonly advisoryLocks: boolean | undefined
  /** In a READ COMMITTED transaction a statement sees what was committed while the one before it waited. */
  readonly statementSnapshots: boolean | undefined
  /** The server tells what became of a transaction whose COMMIT was not answered. */
  readonly transactionOutcomes: boolean | undefined
  /** A failed statement in a savepoint undoes that savepoint alone. */
  readonly savepoints: boolean | undefined
  /** `INSERT … ON CONFLICT DO NOTHING` tells a new row from a duplicate. */
  readonly conflictClauses: boolean | undefined
  /** One statement can write two tables. */
  readonly writesInCtes: boolean | undefined
  /** Rows that others have locked can be skipped. */
  readonly skipLocked: boolean | undefined
}

/** How the database behaves, and its kind. */
export interface DatabaseCapabilities extends TriedCapabilities {
  /** Such as 150004. */
  readonly serverVersion: number
  /** Whether its transactions cannot write. */
  readonly isReadOnly: boolean
  /** Whether it is a standby, which repeats what another server does. */
  readonly isStandby: boolean
  /** Whether a commit waits for a standby, by the settings of the session. */
  readonly waitsForStandby: boolean
  /** Whether tables can be on shards of Citus. */
  readonly hasCitus: boolean
}
