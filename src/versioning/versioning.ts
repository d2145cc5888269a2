import type { ModelFacts } from '../engine/records.js'
import type { Events } from '../events/events.js'
import { patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { rowKeyOf } from '../sql/row-key.js'
import { type Selection, selectionOf } from '../values/selection.js'
import type { Args, Where } from './arguments.js'
import { DirectRows } from './direct-rows.js'
import { functionBatcher } from './function-task.js'
import type { Target } from './guarded-write.js'
import { KeyCheck } from './key-check.js'
import type { VersionedModel, VersionedModels } from './versioned-models.js'

/** The state that the versioned writes of one client share. */
export class Versioning {
  readonly catalogue: Catalogue
  readonly keyCheck: KeyCheck
  readonly rows: DirectRows
  readonly functions = functionBatcher()
  readonly #versions: VersionedModels
  readonly policy: ResolvedPolicy
  readonly events: Events | undefined

  constructor(versions: VersionedModels, policy: ResolvedPolicy, catalogue: Catalogue, events: Events | undefined) {
    this.#versions = versions
    this.events = events
    this.policy = policy
    this.catalogue = catalogue
    this.keyCheck = new KeyCheck(catalogue)
    this.rows = new DirectRows(catalogue)
  }

  /** @throws ConfigurationError if the model has no version column */
  modelOf({ model }: ModelFacts): VersionedModel {
    return this.#versions.require(model)
  }

  /** `currentSelection` is what to read of the row when the write was stale: its version, unless given. */
  target(args: Args, row: Where, versioned: VersionedModel, currentSelection?: Selection): Target {
    return {
      versioned,
      row,
      key: rowKeyOf(row, versioned.model),
      catalogue: this.catalogue,
      keyCheck: this.keyCheck,
      selection: selectionOf(args),
      currentSelection: currentSelection ?? { select: { [versioned.version.name]: true } },
      ...patienceOf(this.policy, args),
    }
  }
}
