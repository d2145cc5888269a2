import type { ModelAction, PrismaClientLike } from './client.js'

/** What an extended client knows of the extensions it is made of (read on 7.10). */
interface Extensions {
  getAllQueryCallbacks(model: string, operation: string): readonly unknown[]
  getAllComputedFields(model: string): object | undefined
}

/**
 * Whether nobody but this package takes part in these calls of a model, so that SQL of our own gives
 * what they would give. `own` is the client that this extension was
 * applied to, so it has all extensions that lie below ours; one on top of ours is seen by `parent`,
 * the client that a model's methods name as theirs, being another one.
 */
export function isUnobserved(
  parent: PrismaClientLike,
  own: PrismaClientLike,
  model: string,
  actions: readonly ModelAction[],
): boolean {
  if (parent !== own) return false
  const extensions = (own as { readonly _extensions?: Partial<Extensions> })._extensions
  if (!extensions?.getAllQueryCallbacks || !extensions.getAllComputedFields) return false // another Prisma
  const property = model.charAt(0).toLowerCase() + model.slice(1)
  return (
    actions.every((action) => isEmpty(extensions.getAllQueryCallbacks?.(property, action))) &&
    isEmpty(extensions.getAllQueryCallbacks('$none', '$queryRawUnsafe')) &&
    Object.keys(extensions.getAllComputedFields(model) ?? {}).length === 0
  )
}

function isEmpty(callbacks: readonly unknown[] | undefined): boolean {
  return callbacks?.length === 0
}
