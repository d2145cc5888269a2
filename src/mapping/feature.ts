import type { Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'

/** A call that has read its arguments. It is sent when it is run. */
export type Call<R = unknown> = (events?: CallEvents) => Promise<R>

/** The use that SQL of ours makes of the rows of a model. It looks for a row before it writes it. */
export type Use = 'reads' | 'updates' | 'creates' | 'writes'

/** A feature of the ERP, on any engine. */
export interface Feature {
  /** Its models and fields, for checks and commands. */
  readonly map: object
  /** The models whose rows it writes. */
  readonly models: readonly Model[]
  /** The model whose name the errors of its SQL carry. */
  readonly errorModel: Model
  /** The models that a method uses. */
  uses(method: string): readonly (readonly [Model, Use])[]
  /**
   * The methods on a session. Each reads its arguments at once, since the caller may change its own
   * objects afterwards.
   *
   * @throws InvalidArgumentError from a method whose arguments cannot be read
   */
  on(session: Session): Readonly<Record<string, (...args: never[]) => Call>>
}
