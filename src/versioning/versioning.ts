import type { CallersTransaction, RootScope } from '../engine/records.js'
import type { ModelContext } from '../prisma/client.js'
import { scopeOf } from '../prisma/session.js'
import type { OwnClients } from '../prisma/whole-client.js'
import { patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { rowKeyOf } from '../sql/row-key.js'
import { type Selection, selectionOf } from '../values/selection.js'
import type { Args, Where } from './arguments.js'
import { DirectRows } from './direct-rows.js'
import { functionBatcher } from './function-update.js'
import type { Target } from './guarded-write.js'
import { KeyCheck } from './key-check.js'
import type { VersionedModel, VersionedModels } from './versioned-models.js'

/** The state that the versioned writes of one client share. */
export class Versioning {
  readonly catalogue: Catalogue
  readonly keyCheck: KeyCheck
  readonly rows: DirectRows
  readonly functions = functionBatcher()
  readonly #own: OwnClients
  readonly #versions: VersionedModels
  readonly policy: ResolvedPolicy

  constructor(own: OwnClients, versions: VersionedModels, policy: ResolvedPolicy, catalogue: Catalogue) {
    this.#own = own
    this.#versions = versions
    this.policy = policy
    this.catalogue = catalogue
    this.keyCheck = new KeyCheck(catalogue)
    this.rows = new DirectRows(catalogue)
  }

  /** @throws ConfigurationError if the model has no version column */
  modelOf(context: ModelContext): VersionedModel {
    return this.#versions.require(context.$name)
  }

  sessionOf(context: ModelContext): RootScope | CallersTransaction {
    return scopeOf(context, this.#own)
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
