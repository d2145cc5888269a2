import type { VersionColumns } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { CallInTransaction } from '../engine/session.js'
import type { Events } from '../events/events.js'
import type { PrismaClientLike } from './client.js'

/*
 * SQL of this package goes past the query hooks of all extensions, its own among them. So each of its
 * extensions has a note on itself: the others ask its guard, and do not treat it as a foreign extension.
 */

/** The note of an extension of this package for the others on the same client. */
export interface Layer {
  readonly name: 'concurrency' | 'leases' | 'stock' | 'serials' | 'series' | 'outbox' | 'inbox' | 'jobs' | 'steps'
  /** The version columns, as `concurrency()` was told. */
  readonly versions?: VersionColumns
  /** The listeners, as `concurrency()` was told. */
  readonly events?: Events | undefined
  /** The names of extensions that only watch. */
  readonly transparent?: ReadonlySet<string>
  /** The models whose rows it writes with SQL of its own. */
  readonly models?: readonly string[]
  /** Those of them that the package prints. */
  readonly ownModels?: readonly string[]
  readonly guard?: WriteGuard
  /** The member of the client that writes its models, where that is no namespace. */
  readonly member?: `$${string}`
  readonly namespace?: Namespace
  /** Its models and fields, for checks and commands. */
  readonly map?: object
  /** On the `tx` of a transaction that is watched: runs around each of its calls. */
  readonly around?: AroundCall
}

/** Methods such as `db.$stock`, which know the client that they are called on. */
export interface Namespace {
  readonly name: `$${string}`
  make(client: PrismaClientLike): object
}

export type AroundCall = <R>(call: CallInTransaction, send: () => PromiseLike<R>) => PromiseLike<R>

/**
 * Refuses data that the hooks of the extension would refuse in a `create` or an `update` of the model.
 *
 * @throws InvalidArgumentError that names the field, by its path from `path`
 */
export type WriteGuard = (model: string, operation: 'create' | 'update', data: unknown, path: string) => void

/** The parts of an extension, as Prisma keeps them (read on 7.10). */
export interface ExtensionArgs {
  readonly name?: string
  readonly query?: Readonly<Record<string, Hook | Readonly<Record<string, Hook>>>>
  readonly model?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly result?: Readonly<Record<string, unknown>>
  readonly client?: Readonly<Record<string, unknown>>
  /** On the extensions of this package. */
  readonly [LAYER]?: Layer
}

export type Hook = (params: never) => unknown

/** How Prisma chains the extensions that a client is made of, the topmost first (read on 7.10). */
export interface Node {
  readonly extension: ExtensionArgs
  readonly previous?: Node
}

/** The same in every copy of this package: an extension of another copy is not foreign. */
const LAYER = Symbol.for('prisma-extension-concurrency.layer')

/** A part of an extension of this package: its note. */
export function noteLayer(layer: Layer): object {
  return { [LAYER]: layer }
}

export function headOf(client: PrismaClientLike): Node | undefined {
  return client._extensions?.head
}

/** The extensions that a client is made of, the topmost first; only those on top of `below` where it is given. */
export function extensionsOf(client: PrismaClientLike, below?: PrismaClientLike): ExtensionArgs[] {
  const end = below && headOf(below)
  const all: ExtensionArgs[] = []
  for (let node = headOf(client); node && node !== end; node = node.previous) all.push(node.extension)
  return all
}

/** The notes of this package's extensions, the topmost first. */
export function layersOf(client: PrismaClientLike): Layer[] {
  return extensionsOf(client).flatMap((extension) => extension[LAYER] ?? [])
}

/** The listeners that `concurrency()` below was told. The hook of a `tx` is a layer of its own, and has none. */
export function eventsOn(client: PrismaClientLike): Events | undefined {
  return layersOf(client).find(({ events }) => events)?.events
}

export function layerOf(extension: ExtensionArgs): Layer | undefined {
  return extension[LAYER]
}

/** The name of the extension in errors. */
export function calledBy({ name }: ExtensionArgs): string {
  return name === undefined ? 'an extension' : `the extension '${name}'`
}

/** `@prisma/extension-read-replicas`, which has no name. It answers reads outside a transaction, and nothing else. */
export function isReadReplicas({ client }: ExtensionArgs): boolean {
  return typeof client?.$primary === 'function' && typeof client.$replica === 'function'
}

/** The names that the user has given of extensions that only watch. */
export function transparentOf(extensions: readonly ExtensionArgs[]): ReadonlySet<string> {
  return new Set(extensions.flatMap((extension) => [...(extension[LAYER]?.transparent ?? [])]))
}

/** Whether it is another's extension, and may do something else in a call than what the call says. */
export function isForeign(extension: ExtensionArgs, transparent: ReadonlySet<string>): boolean {
  return !extension[LAYER] && !isReadReplicas(extension) && !transparent.has(extension.name ?? '')
}

/** The client without those of the topmost extensions that are of this package, or lead reads to replicas. */
export function withoutOwnLayers(client: PrismaClientLike): PrismaClientLike {
  for (let below = client; ; ) {
    const head = headOf(below)
    const parent = below.$parent
    if (head === undefined || parent === undefined || headOf(parent) !== head.previous) return below
    if (!head.extension[LAYER] && !isReadReplicas(head.extension)) return below
    below = parent
  }
}

const guards = new WeakMap<Node, readonly WriteGuard[]>()

/** Asks the guards of all of this package's extensions on the client. */
export function checkWrite(client: PrismaClientLike, ...write: Parameters<WriteGuard>): void {
  const head = headOf(client)
  if (head === undefined) return
  const all = madeOnce(guards, head, () => layersOf(client).flatMap(({ guard }) => guard ?? []))
  for (const guard of all) guard(...write)
}
