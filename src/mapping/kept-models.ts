import { ConfigurationError } from '../errors/index.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { type Layer, layersOf } from '../prisma/layers.js'

/**
 * A row that two of the extensions wrote would be written past the rules of one of them: SQL of
 * their own is seen by no hook. So each of them has models of its own.
 *
 * @throws ConfigurationError if another extension on this client has one of the models already
 */
export function checkModels(client: PrismaClientLike, own: Layer['name'], wanted: readonly string[]): void {
  for (const { name, models } of layersOf(client)) {
    const shared = name !== own && models?.find((model) => wanted.includes(model))
    if (!shared) continue
    const message = `${shared} is written by ${name}() already, and ${own}() would write it past what ${name}() keeps right. Give ${own}() a model of its own`
    throw new ConfigurationError([{ path: '', message }])
  }
}
