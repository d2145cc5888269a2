import { ConcurrencyError } from './concurrency-error.js'

/** The conflict between another extension and a call of this package. */
export type ForeignExtensionProblem = 'passed over' | 'left the transaction' | 'answered by itself' | 'gave no record'

/**
 * Another extension takes part in a call in a way that this package cannot go together with: its
 * hooks would be passed over by SQL, take a call out of the transaction that it belongs to, or keep its record back.
 */
export class ForeignExtensionError extends ConcurrencyError {
  readonly code = 'FOREIGN_EXTENSION'
  readonly problem: ForeignExtensionProblem
  /** The name of the extension; `undefined` if it has none. */
  readonly extension: string | undefined
  /** The Prisma model, such as `Serial`; `undefined` for raw SQL. */
  readonly model: string | undefined
  /** The call, such as `$serials.allocate` or `update`. */
  readonly operation: string

  constructor(
    problem: ForeignExtensionProblem,
    call: { extension: string | undefined; model: string | undefined; operation: string },
    options?: ErrorOptions,
  ) {
    super(MESSAGES[problem](call.extension, call), options)
    this.problem = problem
    this.extension = call.extension
    this.model = call.model
    this.operation = call.operation
  }
}

type Message = (name: string | undefined, call: { model: string | undefined; operation: string }) => string

const MESSAGES: Readonly<Record<ForeignExtensionProblem, Message>> = {
  'passed over': (name, { model, operation }) =>
    `${operation} sends SQL of its own for ${model}, and ${described(name)} takes part in the calls of that model: ` +
    `it would be passed over. Nothing was done. Call it on a client without that extension, or, ` +
    `if the extension only watches, ${transparent(name)}.`,
  'left the transaction': (name, call) =>
    `${described(name, 'The')} sends ${named(call)} outside the transaction that it was called in, ` +
    `so it would not be undone with the rest. It was not sent. ` +
    `Let the extension send query(args) alone where __internalParams.transaction is set, or call this on a client without it.`,
  'answered by itself': (name, call) =>
    `${described(name, 'The')} did not send ${named(call)} in the transaction that it was called in: ` +
    `what it did instead may have been carried out, and is not undone with the rest. ` +
    `Let the extension use query(args), call this on a client without it, or, ` +
    `if what it does belongs to the transaction, ${transparent(name)}.`,
  'gave no record': (name, call) =>
    `${described(name, 'The')} answered ${named(call)} without a record, where Prisma has one or throws: ` +
    `what was called may have been carried out, or not. Look at the data. ` +
    `Let the extension return what query(args) gives, and let its errors through.`,
}

function described(name: string | undefined, article = 'the'): string {
  if (name !== undefined) return `${article} extension '${name}'`
  return article === 'the' ? 'an extension without a name' : 'An extension without a name'
}

function transparent(name: string | undefined): string {
  return name === undefined
    ? `give it a name, and give the name to concurrency({ transparent: ['…'] })`
    : `give its name to concurrency({ transparent: ['${name}'] })`
}

function named({ model, operation }: { model: string | undefined; operation: string }): string {
  return model === undefined ? operation : `${model}.${operation}`
}
