import { mapSteps } from '../steps/mapping.js'
import { StepsMethods } from '../steps/methods.js'
import { checkStepsOptions, type StepsOptions } from '../steps/options.js'
import type { Operation, PruneStepsOptions, StepsCallOptions, StepsResult } from '../steps/types.js'
import type { PgExtension } from './extension.js'
import type { PgTransactionClient } from './methods.js'
import { rootOf } from './session.js'

/** The methods that `steps()` adds. `Tx` is the `tx` that a step is given. */
export interface PgSteps<Tx> {
  /** As `$steps` on Prisma. */
  $steps<R>(options: StepsCallOptions, body: (operation: Operation<Tx>) => Promise<R>): Promise<StepsResult<R>>

  /** As `$pruneSteps` on Prisma. */
  $pruneSteps(options: PruneStepsOptions): Promise<{ count: number }>
}

/**
 * The extension for operations in steps, `db.$steps`, with the same options and the same table as `steps()` of
 * `prisma-extension-concurrency/work`. `Tx` is the `tx` that a step is given.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const shop = db.$extends(steps())
 * await shop.$steps({ key, scope: 'pay' }, async (op) => {
 *   const charge = await op.external('charge', (chargeKey) => bank.charge({ amount, idempotencyKey: chargeKey }))
 *   await op.step('book', (tx) => tx.query('INSERT INTO charges (id) VALUES ($1)', [charge.id]))
 * })
 */
export function steps<Tx = PgTransactionClient>(options: StepsOptions = {}): PgExtension<PgSteps<Tx>> {
  const given = checkStepsOptions(options)
  return {
    apply(root, models) {
      const map = mapSteps(models, given)
      const methods = new StepsMethods({ map, rootOf, answerLimit: given.answerLimit }, root.events)
      return [
        {
          name: '$steps',
          models: [map.model.name],
          feature: { name: 'steps', map },
          make: (session) => (options: unknown, body: never) => methods.run(session, { options, body }),
        },
        {
          name: '$pruneSteps',
          models: [],
          make: (session) => (options: PruneStepsOptions) => methods.prune(session, options),
        },
      ]
    },
  }
}
