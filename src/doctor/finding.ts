/** A fault that the checks have found. */
export interface Finding {
  /** `error`: a promise of the package does not hold. `warning`: it may not, or calls fail or wait. `info`: good to know. */
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

export type FindingCode = 'KEY_MISSING' | 'TABLE_MISSING'
