import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { readScope, type Scope } from '../sql/scope.js'

/** A call that has read its arguments. It is sent when it is run. */
export interface Call<R = unknown> {
  (events?: CallEvents): Promise<R>
  /** The uses that it makes of models besides those of its method. */
  readonly uses?: readonly (readonly [Model, Use])[]
}

/** The use that SQL of ours makes of the rows of a model. It looks for a row before it writes it. */
export type Use = 'reads' | 'updates' | 'creates' | 'writes'

/** A feature of the ERP, on any engine. */
export interface Feature {
  /** The member of the client, where it is not called as the feature is. */
  readonly name?: `$${string}`
  /** Its models and fields, for checks and commands. */
  readonly map: object
  /** The models whose rows it writes. */
  readonly models: readonly Model[]
  /** Those of its models that the package prints. Default: all. */
  readonly ownModels?: readonly Model[]
  /** The fields of its scope, without which no call is made; none where it has no scope. */
  readonly scope?: readonly Field[]
  /** The model whose name the errors of its SQL carry. */
  readonly errorModel: Model
  /** The models that a method uses. */
  uses(method: string): readonly (readonly [Model, Use])[]
  /**
   * The methods on a session. Each reads its arguments at once, since the caller may change its own
   * objects afterwards. With a scope given here, it is the one of each call.
   *
   * @throws InvalidArgumentError from a method whose arguments cannot be read
   */
  on(session: Session, scope?: Scope): Methods
}

type Methods = Readonly<Record<string, (...args: never[]) => Call>>

/**
 * The methods of a feature on a session, as they are given to the user: with a scope, also `in`, which gives the same
 * methods with that scope bound.
 *
 * @param senderOf makes what sends the calls of a method, once for each
 */
export function methodsOf(
  feature: Feature,
  session: Session,
  senderOf: (method: string) => (read: () => Call) => PromiseLike<unknown>,
): Record<string, unknown> {
  const senders = new Map<string, ReturnType<typeof senderOf>>()
  const methods = (scope?: Scope) =>
    Object.fromEntries(
      Object.entries(feature.on(session, scope)).map(([method, read]) => {
        const send = senders.get(method) ?? senderOf(method)
        senders.set(method, send)
        return [method, (...args: never[]) => send(() => read(...args))]
      }),
    )
  const { scope } = feature
  return scope?.length ? { ...methods(), in: (given: unknown) => methods(readScope(scope, given)) } : methods()
}
