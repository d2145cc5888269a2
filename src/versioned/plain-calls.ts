import { answerAll } from '../prisma/batch-answers.js'
import type { ActionArgs } from '../prisma/client.js'
import { isWrite } from '../prisma/joined.js'
import { heldBack } from '../transaction/turns.js'
import type { RetryingTransactions } from '../transaction/with-retry.js'
import { bumpPlainWrite, PLAIN_WRITES, type PlainWrite } from './bump.js'
import type { Versions } from './versions.js'

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface PlainCall {
  readonly model: string
  readonly operation: string
  readonly args: ActionArgs
  readonly query: (args: ActionArgs) => PromiseLike<unknown>
  readonly __internalParams: { readonly transaction?: { readonly kind: string; readonly id: string } | undefined }
}

/** The hooks of the client: writes of Prisma's own bump the versions. */
export function bumpingHooks(versions: Versions): Record<never, never> {
  const hook = ({ model, operation, args, query }: PlainCall) =>
    query(bumpPlainWrite(versions, model, operation as PlainWrite, args))
  return { $allModels: Object.fromEntries(PLAIN_WRITES.map((operation) => [operation, hook])) }
}

/**
 * The hooks of a `tx`: calls of Prisma's own keep out of the way of savepoints and of deadlocks. A
 * hook costs a sixth of a read, so the client itself has none of these.
 */
export function transactionHooks(transactions: RetryingTransactions): Record<never, never> {
  return {
    $allOperations({ operation, args, query, __internalParams: { transaction } }: PlainCall) {
      if (transaction?.kind !== 'itx') return query(args)
      const send = () => query(args)
      return heldBack(transaction, () => (isWrite(operation) ? transactions.write(transaction.id, send) : send()))
    },
    $__internalBatch: answerAll,
  }
}
