import { ConfigurationError } from '../errors.js'
import type { PrismaClientLike } from '../prisma/client.js'

const NAMES = ['stock', 'serials', 'series'] as const
type Name = (typeof NAMES)[number]

/** On the namespace of an extension, such as `db.$stock`, and its copies: the models that it writes with SQL of its own. */
const MODELS = Symbol('models')

interface Namespace {
  readonly [MODELS]?: readonly string[]
}

/**
 * A row that two of the extensions wrote would be written past the rules of one of them: SQL of
 * their own is seen by no hook. So each of them has models of its own.
 *
 * @throws ConfigurationError if another extension on this client has one of the models already
 */
export function checkModels(client: PrismaClientLike, own: Name, wanted: readonly string[]): void {
  for (const name of NAMES) {
    const other = (client as unknown as Record<string, Namespace | undefined>)[`$${name}`]
    const shared = name !== own && other?.[MODELS]?.find((model) => wanted.includes(model))
    if (!shared) continue
    const message = `${shared} is written by ${name}() already, and ${own}() would write it past what ${name}() keeps right. Give ${own}() a model of its own`
    throw new ConfigurationError([{ path: '', message }])
  }
}

/** Notes the models that a namespace writes, for the extensions that come after it. */
export function keepModels<N extends object>(namespace: N, kept: readonly string[]): N {
  return Object.assign(namespace, { [MODELS]: kept })
}
