import type { Model } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'

const CREATES = ['create', 'createMany', 'createManyAndReturn', 'upsert']
const CHANGES = ['update', 'updateMany', 'updateManyAndReturn', 'delete', 'deleteMany']

/**
 * Keeps all other writes of a client off models whose rows a feature alone writes: a lease whose row is deleted would give its
 * tokens out again. These models are printed without relations, so no nested write reaches them.
 *
 * @param member what writes the rows, such as `$outbox`
 * @param propertyOf gives the name that a model has on the client
 */
export function ownRows(member: string, models: readonly Model[], propertyOf: (model: string) => string) {
  const names = models.map(({ name }) => name)
  const refuse = (model: string, path: string) => {
    throw new InvalidArgumentError(
      path,
      `is refused: rows of ${model} are written by ${member} alone. To repair one, use SQL, or a client without this extension.`,
    )
  }
  const hooks = (model: string) =>
    Object.fromEntries([...CREATES, ...CHANGES].map((call) => [call, () => refuse(model, call)]))
  return {
    guard(model: string, _operation: string, _data: unknown, path: string): void {
      if (names.includes(model)) refuse(model, path)
    },
    query: Object.fromEntries(names.map((name) => [propertyOf(name), hooks(name)])),
  }
}
