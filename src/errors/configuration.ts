import { ConcurrencyError } from './concurrency-error.js'

/** One mistake in the options, with its path, such as `version.models.Produkt`. */
export interface ConfigurationIssue {
  readonly path: string
  readonly message: string
}

/** The options do not fit the schema, or a model is used in a way it is not set up for. */
export class ConfigurationError extends ConcurrencyError {
  readonly code = 'CONFIGURATION'

  constructor(
    readonly issues: readonly ConfigurationIssue[],
    options?: ErrorOptions,
  ) {
    super(issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('\n'), options)
  }
}

/** An argument that cannot be right. Thrown before any SQL. */
export class InvalidArgumentError extends ConcurrencyError {
  readonly code = 'INVALID_ARGUMENT'

  constructor(
    /** The argument, such as `where.version` or `[2].data.stock`. */
    readonly field: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${field} ${message}`, options)
  }
}
