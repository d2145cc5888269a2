import { type ModelAction, type PrismaClientLike, propertyOf } from './client.js'

/** What an extension was made of, as Prisma keeps it (read on 7.10). */
export interface ExtensionArgs {
  readonly name?: string
  readonly query?: Readonly<Record<string, Hook | Readonly<Record<string, Hook>>>>
  readonly model?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly result?: Readonly<Record<string, unknown>>
  readonly client?: Readonly<Record<string, unknown>>
  /** The names of extensions that only watch. On the extension of this package alone. */
  readonly [TRANSPARENT]?: ReadonlySet<string>
}

export type Hook = (params: never) => unknown

interface Node {
  readonly extension: ExtensionArgs
  readonly previous?: Node
}

/** The actions of Prisma's that a statement of our own may stand for. */
export type Action =
  | ModelAction
  | 'createMany'
  | 'updateMany'
  | 'updateManyAndReturn'
  | 'findUnique'
  | 'findFirst'
  | 'findFirstOrThrow'
  | 'findMany'

export const TRANSPARENT = Symbol('prisma-extension-concurrency.transparent')

const OWN_NAME = /^prisma-extension-concurrency(?:\/|$)/

/** By the topmost extension: what was found out about the calls of a model. */
const known = new WeakMap<Node, Map<string, ExtensionArgs | undefined>>()
/** By the topmost extension: whether there are hooks of others. */
const hooked = new WeakMap<Node, boolean>()

/** The extensions that a client is made of, the topmost first. */
export function extensionsOf(client: PrismaClientLike): ExtensionArgs[] {
  const all: ExtensionArgs[] = []
  for (let node = headOf(client); node; node = node.previous) all.push(node.extension)
  return all
}

export function headOf(client: PrismaClientLike): Node | undefined {
  return (client as { readonly _extensions?: { readonly head?: Node } })._extensions?.head
}

/** Whether the extension is of this package. */
export function isOwn({ name }: ExtensionArgs): boolean {
  return name !== undefined && OWN_NAME.test(name)
}

/** What an error calls the extension. */
export function calledBy({ name }: ExtensionArgs): string {
  return name === undefined ? 'an extension' : `the extension '${name}'`
}

/** `@prisma/extension-read-replicas`, which has no name. It answers reads outside a transaction, and nothing else. */
export function isReadReplicas({ client }: ExtensionArgs): boolean {
  return typeof client?.$primary === 'function' && typeof client.$replica === 'function'
}

/** The names that the user has given of extensions that only watch. */
export function transparentOf(extensions: readonly ExtensionArgs[]): ReadonlySet<string> {
  return new Set(extensions.flatMap((extension) => [...(extension[TRANSPARENT] ?? [])]))
}

/**
 * The topmost extension, not of this package, that takes part in these calls of a model, by a query
 * hook or by a method of its own: what it does, such as to filter by tenant, SQL of our own goes
 * past. Extensions that only watch are left out.
 */
export function foreignIn(
  client: PrismaClientLike,
  model: string,
  actions: readonly Action[],
): ExtensionArgs | undefined {
  const head = headOf(client)
  if (head === undefined) return undefined
  const byCall = known.get(head) ?? new Map<string, ExtensionArgs | undefined>()
  known.set(head, byCall)
  const call = `${model} ${actions.join()}`
  if (!byCall.has(call)) byCall.set(call, findForeign(client, model, actions))
  return byCall.get(call)
}

/** Whether any other extension takes part in any call of the client, but those that only watch. */
export function hasForeignHooks(client: PrismaClientLike): boolean {
  const head = headOf(client)
  if (head === undefined) return false
  const found = hooked.get(head) ?? findForeignHooks(client)
  hooked.set(head, found)
  return found
}

function findForeignHooks(client: PrismaClientLike): boolean {
  const all = extensionsOf(client)
  const transparent = transparentOf(all)
  return all.some((extension) => extension.query !== undefined && isForeign(extension, transparent))
}

/** Whether it may do something else in a call than what the call says. */
export function isForeign(extension: ExtensionArgs, transparent: ReadonlySet<string>): boolean {
  return !isOwn(extension) && !isReadReplicas(extension) && !transparent.has(extension.name ?? '')
}

function findForeign(client: PrismaClientLike, model: string, actions: readonly Action[]): ExtensionArgs | undefined {
  const all = extensionsOf(client)
  const transparent = transparentOf(all)
  const property = propertyOf(model)
  return all.find(
    (extension) =>
      isForeign(extension, transparent) &&
      (actions.some((action) => takesPart(extension, property, action)) || makesFieldsOf(extension, client, model)),
  )
}

/** Whether it puts something else in the place of what a field has in the database. */
function makesFieldsOf({ result }: ExtensionArgs, client: PrismaClientLike, model: string): boolean {
  const names = [propertyOf(model), '$allModels'].flatMap((name) => Object.keys((result?.[name] ?? {}) as object))
  return (
    names.length > 0 && client._runtimeDataModel.models[model]?.fields.some(({ name }) => names.includes(name)) === true
  )
}

function takesPart({ query, model }: ExtensionArgs, property: string, action: Action): boolean {
  const groups = [query?.[property], query?.$allModels] as (Readonly<Record<string, Hook>> | undefined)[]
  const methods = [model?.[property], model?.$allModels]
  return (
    groups.some((group) => group?.[action] !== undefined || group?.$allOperations !== undefined) ||
    query?.[action] !== undefined ||
    query?.$allOperations !== undefined ||
    methods.some((group) => group?.[action] !== undefined)
  )
}
