import { ConcurrencyError } from './concurrency-error.js'

/** A fault that the checks have found. */
export interface Finding {
  /** `error`: a promise of the package does not hold. `warning`: calls may fail or wait. `info`: good to know. */
  readonly severity: Severity
  /** Stable, such as `KEY_MISSING`. */
  readonly code: FindingCode
  /** The table, the column or the setting that it is about. */
  readonly where: string
  /** The fault. */
  readonly what: string
  /** The damage that it can do. */
  readonly cost: string
  /** The SQL that mends it, where SQL does. It was not run. */
  readonly sql: string | undefined
}

export type Severity = 'error' | 'warning' | 'info'

export type FindingCode =
  | 'CAPABILITY_MISSING'
  | 'CAPABILITY_NOT_TRIED'
  | 'COLUMN_MISSING'
  | 'COLUMN_REQUIRED'
  | 'COLUMN_TYPE'
  | 'CONFIGURATION'
  | 'FOREIGN_KEY_MISSING'
  | 'ISOLATION_DEFAULT'
  | 'KEY_MISSING'
  | 'NAMED_STATEMENTS'
  | 'POOLER'
  | 'POOL_TOO_SMALL'
  | 'PRIVILEGE_MISSING'
  | 'READ_ONLY'
  | 'SERVER_VERSION'
  | 'SHARDS'
  | 'SLOTS'
  | 'TABLE_MISSING'
  | 'TIMEOUT_SHORT'
  | 'TRIGGER_DISABLED'
  | 'TRIGGER_MISSING'
  | 'TRIGGER_OUTDATED'
  | 'VERSION_DEFAULT'
  | 'VERSION_NULLABLE'

/** The database, or the settings of the client, would break promises of the package. */
export class ConcurrencyCheckError extends ConcurrencyError {
  readonly code = 'CHECK_FAILED'

  constructor(
    /** All of them, also those that are no errors. */
    readonly findings: readonly Finding[],
    options?: ErrorOptions,
  ) {
    const errors = findings.filter(({ severity }) => severity === 'error')
    super(errors.map(({ code, where, what, cost }) => `${code}: ${where}: ${what}. ${cost}.`).join('\n'), options)
  }
}
