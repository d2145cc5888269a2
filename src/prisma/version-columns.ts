import type { PrismaClientLike } from './client.js'
import { layersOf } from './layers.js'

/** The version columns of a client's models, as `concurrency()` knows them. */
export interface VersionColumns {
  /**
   * The version column's field. `undefined` is a model that has none, and `false` one that the
   * options say is not versioned.
   */
  fieldOf(model: string): string | false | undefined
  /** The version column that plain writes of the model bump; `undefined` where they bump none. */
  bumpedBy(model: string): string | undefined
}

/**
 * The version columns that the `concurrency()` extensions of the client know; `undefined` without one. Of a
 * model, the topmost one counts that names its version column, or says that it has none.
 */
export function versionColumnsOf(client: object): VersionColumns | undefined {
  const all = layersOf(client as PrismaClientLike).flatMap(({ versions }) => versions ?? [])
  if (all.length < 2) return all[0]
  const knowing = (model: string) => all.find((versions) => versions.fieldOf(model) !== undefined)
  return {
    fieldOf: (model) => knowing(model)?.fieldOf(model),
    bumpedBy: (model) => knowing(model)?.bumpedBy(model),
  }
}
