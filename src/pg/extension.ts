import type { DataModel } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import type { FeatureSetup } from '../engine/setup.js'
import type { RetryingRoot } from '../transactions/method.js'

/** An extension's additions to a client and to its transactions. */
export interface Namespace {
  /** Such as `$stock`. */
  readonly name: string
  /** The models whose rows it writes. */
  readonly models: readonly string[]
  /** The feature that they are of. */
  readonly feature?: FeatureSetup
  /** The methods for one session. */
  make(session: Session): object
}

/** An extension for `$extends`. `N` is what it adds, such as `{ $stock: Stock }`. */
export interface PgExtension<N extends object> {
  /** Only tells the types what it adds. */
  readonly adds?: N
  /**
   * Several where it adds methods that stand alone, such as `$withLease`.
   *
   * @throws ConfigurationError if its options do not fit the tables
   */
  apply(root: RetryingRoot, dataModel: DataModel): Namespace | readonly Namespace[]
}
