import { clientOf, retryingRoot, soleWriter, withConcurrency } from '../mapping/extension.js'
import { sessionOf } from '../prisma/client-session.js'
import { readDataModel } from '../prisma/data-model.js'
import {
  clientContext,
  type Extension,
  extensionOf,
  type Implementation,
  type Members,
  type Nothing,
} from '../prisma/extension.js'
import { eventsOn, noteLayer } from '../prisma/layers.js'
import type { TransactionClient } from '../prisma/types.js'
import { mapSteps } from './mapping.js'
import { StepsMethods } from './methods.js'
import { checkStepsOptions, type StepsOptions } from './options.js'
import type { Operation, PruneStepsOptions, StepsCallOptions, StepsResult } from './types.js'

/** The type of `$steps`. */
export type RunSteps = <T extends object, R>(
  this: T,
  options: StepsCallOptions,
  body: (operation: Operation<TransactionClient<T>>) => Promise<R>,
) => Promise<StepsResult<R>>

/** The methods that `steps()` adds to a client. */
export interface StepsClientMethods {
  /**
   * Runs an operation in steps, each of them once: steps in the database, and calls to other systems between them. No
   * transaction is open during those. After a crash, any machine that makes the call again goes on behind the last step:
   * the body runs again, and steps that are done answer what they have answered. `$idempotent` is for an operation that is one
   * transaction.
   *
   * The body may run several times, also on two machines at once. Its effects outside of steps must not matter, and it
   * must come to the same steps in the same order. Steps come one after the other.
   *
   * A body that throws leaves the operation where it is, for the next call to go on with. `op.refuse` ends it for good.
   *
   * The scope must tell tenants and users apart, or one of them gets another's answer.
   *
   * @throws OperationRefusedError if the body refuses it, or has done so before: with the answer that it was refused with
   * @throws IdempotencyMismatchError if the key came with another `request` before
   * @throws IdempotencyInProgressError if the same operation runs in this process for longer than the deadline
   * @throws StepMismatchError if the body asks for other steps than those that are stored
   * @throws OutcomeUnknownError if the answer of the database was lost and could not be found out in time: the same call
   *   again does so
   * @throws InvalidArgumentError on the `tx` of a transaction: steps are committed one by one
   *
   * @example
   * const { result } = await db.$steps({ key, scope: `tenant ${tenantId}: pay`, request: body }, async (op) => {
   *   await op.step('order', {
   *     run: (tx) => tx.order.create({ data: { id: orderId, customer } }),
   *     undo: (tx, order) => tx.order.delete({ where: { id: order.id } }),
   *   })
   *   const charge = await op.external('charge', (chargeKey) => bank.charge({ amount, idempotencyKey: chargeKey }))
   *   if (charge.declined) return op.refuse({ reason: charge.declined })
   *   return op.step('payment', (tx) => tx.payment.create({ data: { transactionId: key, amount } }))
   * })
   */
  $steps: RunSteps

  /**
   * Deletes operations that have been done or refused for so many ms, in batches. A call that comes after that runs again, as
   * a new operation whose external calls have the same keys. Operations that are not over stay.
   *
   * @example
   * await db.$pruneSteps({ olderThan: 90 * 24 * 3_600_000 })
   */
  $pruneSteps(options: PruneStepsOptions): Promise<{ count: number }>
}

/** The members that `steps()` adds to a client. */
export type StepsExtension = Extension<Nothing, Members<StepsClientMethods>>

/**
 * The extension for operations in steps: `db.$steps`, on a model of yours. Apply it after `concurrency()`. Without options it
 * uses the model that `stepsSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(steps())
 */
export function steps(options: StepsOptions = {}): (client: object) => StepsExtension {
  const given = checkStepsOptions(options)
  return extensionOf((client) => {
    const below = withConcurrency(client, 'steps')
    const map = mapSteps(readDataModel(below), given)
    const rootOf = (session: Parameters<typeof clientOf>[0]) =>
      retryingRoot(withConcurrency(clientOf(session), 'steps'), map.model.name)
    const { answerLimit } = given
    const { note, query } = soleWriter(below, '$steps', [map.model])
    return below.$extends({
      name: 'prisma-extension-concurrency/steps',
      ...noteLayer({ name: 'steps', ...note, map }),
      client: stepsClientMethods(new StepsMethods({ map, rootOf, answerLimit }, eventsOn(below))),
      query,
    })
  })
}

/** The methods as they are run. */
function stepsClientMethods(methods: StepsMethods): Implementation<StepsClientMethods> {
  return {
    $steps(options: unknown, body: never) {
      return methods.run(sessionOf(clientContext(this)), { options, body })
    },
    $pruneSteps(options: PruneStepsOptions) {
      return methods.prune(sessionOf(clientContext(this)), options)
    },
  }
}
