import type { VersionColumns } from '../engine/data-model.js'
import { type Events, observed } from '../events/events.js'
import { type Implementation, modelContext } from '../prisma/extension.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import type { RecordsOf } from '../prisma/records.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { argumentsOf } from '../values/snapshot.js'
import type { KeyCheck } from '../versioning/key-check.js'
import type { TransitionModelMethods } from './client-types.js'
import type { Moves } from './options.js'

/** The parts of the package that moves need. */
export interface TransitionSetup {
  readonly moves: ReadonlyMap<string, Moves>
  readonly versions: VersionColumns
  readonly keyCheck: KeyCheck
  readonly policy: ResolvedPolicy
  readonly events: Events | undefined
}

/** The method as it is run. Its file is loaded by the first call of the process: most programs have none. */
export function transitionModelMethods(
  setup: TransitionSetup,
  recordsOf: RecordsOf,
): Implementation<TransitionModelMethods<unknown>> {
  return {
    transition(args) {
      const context = modelContext(this)
      return lazyPromise(
        'transition',
        () => argumentsOf(args),
        (given) =>
          observed(setup.events, 'transition', context.$name, async (events) => {
            const records = recordsOf(context)
            const { transition } = await import('./transition.js')
            return transition(setup, records, { given, events })
          }),
      )
    },
  }
}
