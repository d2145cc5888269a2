import { ConcurrencyError } from './concurrency-error.js'

/** A call of this package was put into an array `$transaction([…])`. Nothing was written. */
export class BatchTransactionError extends ConcurrencyError {
  readonly code = 'BATCH_TRANSACTION'

  constructor(readonly method: string) {
    super(
      `${method}() cannot be part of an array $transaction([…]), since it needs more than one step. Nothing was written. ` +
        `Use $transactionWithRetry(async (tx) => …), or $transaction(async (tx) => …).`,
    )
  }
}

/**
 * A call came on a transaction client at a moment at which it could be undone, or lost, unseen: a
 * nested body is open (`nested`), the body that the client was given to has ended (`over`), or it
 * ended while a nested body was open (`unfinished`).
 */
export class TransactionScopeError extends ConcurrencyError {
  readonly code = 'TRANSACTION_SCOPE'

  constructor(readonly reason: 'nested' | 'over' | 'unfinished') {
    super(SCOPE_MESSAGES[reason])
  }
}

const SCOPE_MESSAGES = {
  nested:
    'A nested transaction is open on this `tx`, and would undo this call if it failed. ' +
    'Use the client that the nested body is given, or await the nested call first. Nothing was sent.',
  over:
    'The body that this `tx` was given to has ended, so nothing more can be part of its transaction. ' +
    'Await every call in the body. Nothing was sent.',
  unfinished:
    'The body of the transaction ended while a nested transaction was open on its `tx`. ' +
    'Everything was rolled back. Await every call in the body.',
}

/**
 * The body of a transaction came to its end, but a statement in it had failed, and with it the whole
 * transaction: COMMIT would roll it back without a word. The failed statement's error is the `cause`.
 *
 * Source: PostgreSQL manual, COMMIT, and "3.4. Transactions".
 */
export class TransactionAbortedError extends ConcurrencyError {
  readonly code = 'TRANSACTION_ABORTED'

  constructor(options: ErrorOptions) {
    super(
      'A statement of the transaction failed, and its error was caught; but PostgreSQL had ended the transaction with it, so everything was rolled back. ' +
        'Let the error reach the end of the body, or call what may fail in a nested $transaction.',
      options,
    )
  }
}

/** A call that only makes sense inside a transaction was made outside one. */
export class TransactionRequiredError extends ConcurrencyError {
  readonly code = 'TRANSACTION_REQUIRED'

  constructor(
    readonly method: string,
    reason = 'the lock would be gone at once',
    otherwise = 'use $withAdvisoryLock',
  ) {
    super(
      `${method}() was called outside a transaction, where ${reason}. ` +
        `Call it on the \`tx\` of $transaction or $transactionWithRetry, or ${otherwise}.`,
    )
  }
}
