export interface CheckConcurrencyOptions {
  /** Whether errors that are found are thrown, as a ConcurrencyCheckError. Default false. */
  readonly throw?: boolean
  /** The models that must have the trigger of `versionTriggerSql`, besides those with `bumpPlainWrites: false`. */
  readonly triggers?: readonly string[]
}
