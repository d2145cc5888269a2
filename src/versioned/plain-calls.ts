import { answerAll } from '../prisma/batch-answers.js'
import type { ActionArgs } from '../prisma/client.js'
import { isWrite } from '../prisma/joined.js'
import { heldBack } from '../transaction/turns.js'
import type { RetryingTransactions } from '../transaction/with-retry.js'
import { bumpPlainWrite, isPlainWrite } from './bump.js'
import type { Versions } from './versions.js'

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface PlainCall {
  readonly model: string | undefined
  readonly operation: string
  readonly args: ActionArgs
  readonly query: (args: ActionArgs) => PromiseLike<unknown>
  readonly __internalParams: { readonly transaction?: { readonly kind: string; readonly id: string } | undefined }
}

/**
 * The hooks of the extension: writes bump versions, and what comes on a `tx` keeps out of the way of
 * savepoints and of deadlocks.
 */
export function plainCalls(versions: Versions, transactions: RetryingTransactions): Record<never, never> {
  return {
    $allOperations({ model, operation, args, query, __internalParams: { transaction } }: PlainCall) {
      const given =
        model !== undefined && isPlainWrite(operation) ? bumpPlainWrite(versions, model, operation, args) : args
      if (transaction?.kind !== 'itx') return query(given)
      const send = () => query(given)
      return heldBack(transaction, () => (isWrite(operation) ? transactions.write(transaction.id, send) : send()))
    },
    $__internalBatch: answerAll,
  }
}
