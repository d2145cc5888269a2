import type { DataModel, Model } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { Action } from '../engine/records.js'
import type { Session } from '../engine/session.js'
import { setupOf } from '../engine/setup.js'
import { ConfigurationError, ForeignExtensionError } from '../errors/index.js'
import { type Events, observed } from '../events/events.js'
import { namespace } from '../prisma/bound.js'
import { type PrismaClientLike, propertyOf } from '../prisma/client.js'
import { featureSession, rootSession, transactionSession } from '../prisma/client-session.js'
import { readDataModel } from '../prisma/data-model.js'
import { extensionOf } from '../prisma/extension.js'
import { foreignIn } from '../prisma/foreign.js'
import {
  eventsOn,
  headOf,
  type Layer,
  layersOf,
  type Namespace,
  type Node,
  noteLayer,
  type WriteGuard,
} from '../prisma/layers.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import type { RetryingRoot, TransactionWithRetryOptions } from '../transactions/method.js'
import type { Body, TransactionContext } from '../transactions/with-retry.js'
import { type Call, type Feature, methodsOf, type Use } from './feature.js'
import { checkModels, checkName, type Member } from './members.js'
import { ownRows } from './own-rows.js'

/** A feature, and what Prisma's own writes are kept from. */
export interface PrismaFeature {
  readonly feature: Feature
  readonly guard?: WriteGuard
  readonly query?: object
}

/** Makes a feature of a client's models. The root session is that of the client below, for the model that errors name. */
export type MakeFeature = (models: DataModel, rootFor: (errorModel: string) => RetryingRoot) => PrismaFeature

/**
 * A feature as an extension of a Prisma client, on top of `concurrency()`: `db.$stock`, and `tx.$stock` in a
 * transaction. Its calls begin when they are awaited, like Prisma's own.
 *
 * @throws ConfigurationError when the client is extended
 */
export function featureExtension<C, E>(
  name: Exclude<Layer['name'], 'concurrency'>,
  make: MakeFeature,
): (client: C) => E {
  return extensionOf((client) => {
    const below = withConcurrency(client, name)
    const { feature, guard, query } = make(readDataModel(below), (errorModel) => retryingRoot(below, errorModel))
    const models = feature.models.map((model) => model.name)
    const ownModels = feature.ownModels?.map((model) => model.name)
    const member = feature.name ?? (`$${name}` as const)
    const seen = new WeakMap<Node, Seen>()
    const own: Namespace = { name: member, make: (on) => methodsOn(on, member, feature, seen) }
    if (feature.name) checkName(below, feature.name)
    checkOwnModels(below, { name: member, models })
    return client.$extends({
      name: `prisma-extension-concurrency/${name}`,
      ...noteLayer({
        name,
        models,
        namespace: own,
        map: feature.map,
        ...(ownModels && { ownModels }),
        ...(guard && { guard }),
      }),
      client: namespace(below, own),
      ...(query && { query }),
    })
  })
}

/** @throws ConfigurationError if another member of the client writes one of the models already */
function checkOwnModels(client: PrismaClientLike, own: Member): void {
  const others = layersOf(client).flatMap(({ namespace, member: name = namespace?.name, models }) =>
    name && models ? [{ name, models }] : [],
  )
  checkModels(own, others)
}

/**
 * The parts of an extension without a namespace, whose member alone writes these models.
 *
 * @throws ConfigurationError if another member of the client writes one of them already
 */
export function soleWriter(client: PrismaClientLike, member: `$${string}`, models: readonly Model[]) {
  const names = models.map(({ name }) => name)
  checkOwnModels(client, { name: member, models: names })
  const { guard, query } = ownRows(member, models, propertyOf)
  return { note: { member, models: names, guard }, query }
}

/** Facts about a feature on clients with the same extensions, found out once. */
interface Seen {
  readonly events: Events | undefined
  /** The methods in which no other extension takes part. */
  readonly methods: Set<string>
}

function methodsOn(
  client: PrismaClientLike,
  name: string,
  feature: Feature,
  seen: WeakMap<Node, Seen>,
): Record<string, unknown> {
  const find = () => ({ events: eventsOn(client), methods: new Set<string>() })
  const head = headOf(client)
  const { events, methods } = head ? madeOnce(seen, head, find) : find()
  return methodsOf(feature, featureSession(client, feature.errorModel.name), (method) => {
    const title = `${name}.${method}`
    const run = <R>(call: Call<R>): Promise<R> => {
      const uses = methods.has(method) ? call.uses : [...feature.uses(method), ...(call.uses ?? [])]
      for (const [model, use] of uses ?? []) {
        const extension = foreignIn(client, model.name, STANDS_FOR[use])
        if (extension) return Promise.reject(passedOver(extension.name, model.name, title))
      }
      methods.add(method)
      return observed(events, title, undefined, call)
    }
    return (read) => lazyPromise(title, read, run)
  })
}

/** SQL would go past the filters of the extension, and past what it adds to the data. */
function passedOver(extension: string | undefined, model: string, operation: string): ForeignExtensionError {
  return new ForeignExtensionError('passed over', { extension, model, operation })
}

const READS = ['findUnique', 'findUniqueOrThrow', 'findFirst', 'findFirstOrThrow', 'findMany'] as const
const UPDATES = ['update', 'updateMany', 'updateManyAndReturn'] as const
const CREATES = ['create', 'createMany', 'createManyAndReturn'] as const

/** The calls of Prisma that SQL of ours stands for. */
const STANDS_FOR: Readonly<Record<Use, readonly Action[]>> = {
  reads: READS,
  updates: [...READS, ...UPDATES],
  creates: [...READS, ...CREATES],
  writes: [...READS, ...UPDATES, ...CREATES],
}

/** A client with `concurrency()` on it: its public method is all that this entry point builds on. */
export interface ConcurrencyClient extends PrismaClientLike {
  $transactionWithRetry<R>(
    body: (tx: PrismaClientLike, context: TransactionContext) => Promise<R>,
    options?: TransactionWithRetryOptions,
  ): Promise<R>
}

/** The client that a session of Prisma's is of. */
export function clientOf({ client }: Session): PrismaClientLike {
  return client as PrismaClientLike
}

/** @throws ConfigurationError if `concurrency()` was not applied before */
export function withConcurrency(client: PrismaClientLike, extension: string): ConcurrencyClient {
  if (typeof (client as Partial<ConcurrencyClient>).$transactionWithRetry === 'function') {
    return client as ConcurrencyClient
  }
  const message = `${extension}() builds on concurrency(): apply that first, base.$extends(concurrency()).$extends(${extension}({ … }))`
  throw new ConfigurationError([{ path: '', message }])
}

/** The session of the client, with its retried transactions. With a model, errors are those of a call of it. */
export function retryingRoot(client: ConcurrencyClient, model?: string): RetryingRoot {
  return Object.assign(rootSession(client, model), {
    clientRetry: () => setupOf(client)?.options.retry,
    transactionWithRetry: <R>(body: Body<R>, options?: TransactionWithRetryOptions) =>
      client.$transactionWithRetry((tx, context) => body(transactionSession(tx, model), context), options),
  })
}
