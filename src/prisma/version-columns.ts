import type { PrismaClientLike } from './client.js'
import { layersOf } from './layers.js'

/** What `concurrency()` knows of the version columns of a client's models. */
export interface VersionColumns {
  /**
   * The version column's field. `undefined` is a model that has none, and `false` one that the
   * options say is not versioned.
   */
  fieldOf(model: string): string | false | undefined
  /** The version column that plain writes of the model bump; `undefined` where they bump none. */
  bumpedBy(model: string): string | undefined
}

/** What the last `concurrency()` that the client is made of knows; `undefined` without one. */
export function versionColumnsOf(client: object): VersionColumns | undefined {
  return layersOf(client as PrismaClientLike).find(({ versions }) => versions)?.versions
}
