import { ConcurrencyError } from './concurrency-error.js'

const operation = (scope: string, key: string) =>
  `The operation ${JSON.stringify(key)} in scope ${JSON.stringify(scope)}`

/** An operation in steps was refused by its body, in this call or an earlier one. Its steps that can be undone are undone. */
export class OperationRefusedError extends ConcurrencyError {
  readonly code = 'OPERATION_REFUSED'

  constructor(
    readonly scope: string,
    readonly key: string,
    /** The argument of `op.refuse`. */
    readonly answer: unknown,
  ) {
    super(`${operation(scope, key)} was refused. See its answer; another attempt needs another key.`)
  }
}

/** The body of an operation asks for other steps than those that are stored. Nothing was written. */
export class StepMismatchError extends ConcurrencyError {
  readonly code = 'STEP_MISMATCH'

  constructor(
    readonly scope: string,
    readonly key: string,
    /** The step that the body has asked for; `undefined` if it has ended. */
    readonly step: string | undefined,
    /** The step that is stored in its place. */
    readonly stored: string,
  ) {
    super(
      `${operation(scope, key)} has the step ${JSON.stringify(stored)} stored, and its body ` +
        (step === undefined
          ? 'has ended without it. '
          : `asks for ${step === stored ? 'it as another kind of step' : JSON.stringify(step)}. `) +
        'Nothing was written. A body must ask for the same steps in the same order in each of its runs.',
    )
  }
}
