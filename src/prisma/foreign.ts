import { madeOnce } from '../engine/made-once.js'
import type { Action } from '../engine/records.js'
import { type PrismaClientLike, propertyOf } from './client.js'
import { type ExtensionArgs, extensionsOf, type Hook, headOf, isForeign, layerOf, transparentOf } from './layers.js'
import { versionColumnsOf } from './version-columns.js'

/** How our own statements are sent, where Prisma's own way is taken. */
export const RAW = '$queryRawUnsafe'

/** The answers about the calls of a model, by the topmost extension. */
const known = new WeakMap<object, Map<string, ExtensionArgs | undefined>>()

/**
 * The topmost extension that takes part in these calls of a model, by a query hook or by a method of its
 * own. SQL of our own goes past its work, such as a filter by tenant. Left out are extensions that only
 * watch, and those of this package, whose guards are asked (see `checkWrite`).
 */
export function foreignIn(
  client: PrismaClientLike,
  model: string,
  actions: readonly Action[],
): ExtensionArgs | undefined {
  return remembered(client, `${model} ${actions.join()}`, () => findForeign(client, model, actions))
}

/**
 * The same, for SQL that also has to give the records that these calls would give: then an extension takes
 * part that adds a computed field to them, and one that hooks raw SQL, which would see what nobody has sent.
 */
export function foreignInRecords(
  client: PrismaClientLike,
  model: string,
  actions: readonly Action[],
): ExtensionArgs | undefined {
  return remembered(
    client,
    `${model} ${actions.join()} records`,
    () =>
      findForeign(client, model, [...actions, RAW]) ??
      extensionsOf(client).find((extension) => computedFields(extension, model).length > 0),
  )
}

/** Whether any other extension takes part in any call of the client, but those that only watch. */
export function hasForeignHooks(client: PrismaClientLike): boolean {
  const find = () => {
    const all = extensionsOf(client)
    const transparent = transparentOf(all)
    return all.find((extension) => extension.query !== undefined && isForeign(extension, transparent))
  }
  return remembered(client, 'any call', find) !== undefined
}

/** Whether an extension of others has a hook for raw SQL, or a method of its own in its place, also one that only watches. */
export function hookedRawSql(client: PrismaClientLike): boolean {
  const find = () =>
    extensionsOf(client).find(
      (extension) =>
        !layerOf(extension) && (extension.query?.[RAW] ?? extension.query?.$allOperations ?? extension.client?.[RAW]),
    )
  return remembered(client, RAW, find) !== undefined
}

/** The topmost extension of others that has a `$transaction` of its own. */
export function foreignTransactions(client: PrismaClientLike): ExtensionArgs | undefined {
  return extensionsOf(client).find((extension) => !layerOf(extension) && extension.client?.$transaction !== undefined)
}

function remembered(client: PrismaClientLike, call: string, find: () => ExtensionArgs | undefined) {
  const head = headOf(client)
  if (head === undefined) return undefined
  const byCall = madeOnce(known, head, () => new Map())
  return madeOnce(byCall, call, () => find() ?? null) ?? undefined
}

type AnyAction = Action | typeof RAW

function findForeign(
  client: PrismaClientLike,
  model: string,
  actions: readonly AnyAction[],
): ExtensionArgs | undefined {
  const all = extensionsOf(client)
  const transparent = transparentOf(all)
  return all.find((extension) =>
    layerOf(extension)
      ? bumpsAnother(extension, client, model, actions)
      : isForeign(extension, transparent) &&
        (actions.some((action) => takesPart(extension, model, action)) || makesFieldsOf(extension, client, model)),
  )
}

/** Whether plain updates bump a version column that a second `concurrency()`, on top of it, does not know. */
function bumpsAnother(
  extension: ExtensionArgs,
  client: PrismaClientLike,
  model: string,
  actions: readonly AnyAction[],
): boolean {
  const bumped = layerOf(extension)?.versions?.bumpedBy(model)
  if (bumped === undefined || bumped === versionColumnsOf(client)?.fieldOf(model)) return false
  return actions.some((action) => action.startsWith('update'))
}

/** Whether it puts something else in the place of what a field has in the database. */
function makesFieldsOf(extension: ExtensionArgs, client: PrismaClientLike, model: string): boolean {
  const names = computedFields(extension, model)
  return (
    names.length > 0 && client._runtimeDataModel.models[model]?.fields.some(({ name }) => names.includes(name)) === true
  )
}

function computedFields({ result }: ExtensionArgs, model: string): string[] {
  return [propertyOf(model), '$allModels'].flatMap((name) => Object.keys((result?.[name] ?? {}) as object))
}

/** Whether the extension has a hook, or a method of its own, for the action of the model. */
export function takesPart({ query, model: models, client }: ExtensionArgs, model: string, action: AnyAction): boolean {
  const property = propertyOf(model)
  const groups = [query?.[property], query?.$allModels] as (Readonly<Record<string, Hook>> | undefined)[]
  const methods = [models?.[property], models?.$allModels]
  return (
    groups.some((group) => group?.[action] !== undefined || group?.$allOperations !== undefined) ||
    query?.[action] !== undefined ||
    query?.$allOperations !== undefined ||
    methods.some((group) => group?.[action] !== undefined) ||
    (action === RAW && client?.[action] !== undefined)
  )
}
