import type { VersionColumns } from '../engine/data-model.js'
import type { PrismaClientLike } from './client.js'
import { layersOf } from './layers.js'

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
