import type { ActionArgs } from '../engine/records.js'
import { answerAll } from '../prisma/batch-answers.js'
import { bumpPlainWrite, PLAIN_WRITES, type PlainWrite } from './bump.js'
import type { VersionedModels } from './versioned-models.js'

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface PlainCall {
  readonly model: string
  readonly operation: string
  readonly args: ActionArgs
  readonly query: (args: ActionArgs) => PromiseLike<unknown>
}

/** The hooks of the client: writes of Prisma's own bump the versions, and every call of a tick has an answer. */
export function clientHooks(versions: VersionedModels): Record<never, never> {
  const hook = ({ model, operation, args, query }: PlainCall) =>
    query(bumpPlainWrite(versions, model, operation as PlainWrite, args))
  return {
    $allModels: Object.fromEntries(PLAIN_WRITES.map((operation) => [operation, hook])),
    // Here, and not among the hooks of a `tx`: a batch has the hooks of its first call, which may be our own.
    $__internalBatch: answerAll,
  }
}
