import { lazily } from '../../lazy.js'
import { modelOf, type PrismaClientLike } from '../../prisma/client.js'
import { snapshot } from '../../snapshot.js'
import { isRecord } from '../../validation.js'
import type { Protection } from './protect.js'

interface Call {
  readonly model: string
  readonly args: Readonly<Record<string, unknown>>
  readonly query: (args: never) => unknown
}

const CREATES = ['create', 'createMany', 'createManyAndReturn']
const UPDATES = ['update', 'updateMany', 'updateManyAndReturn']

/** Hooks of Prisma's own writes, of all models: a nested write may reach the items from anywhere. */
export function protectedQueries(protection: Protection): Record<never, never> {
  const hook =
    (check: (call: Call) => void) =>
    (call: Call): unknown => {
      check(call)
      return call.query(call.args as never)
    }
  const creates = CREATES.map((name) => [
    name,
    hook(({ model, args }) => protection.check(model, 'create', args.data, 'data')),
  ])
  const updates = UPDATES.map((name) => [
    name,
    hook(({ model, args }) => protection.check(model, 'update', args.data, 'data')),
  ])
  const upsert = hook(({ model, args }) => {
    protection.check(model, 'create', args.create, 'create')
    protection.check(model, 'update', args.update, 'update')
  })
  return Object.fromEntries([...creates, ...updates, ['upsert', upsert]])
}

/** `updateManyVersioned` sends SQL of its own, which no hook of Prisma's sees. */
export function protectedModel(
  parent: PrismaClientLike,
  model: string,
  protection: Protection,
): Readonly<Record<string, Record<never, never>>> {
  const below = (modelOf(parent, model) as unknown as { readonly updateManyVersioned: (...args: unknown[]) => unknown })
    .updateManyVersioned
  return {
    [model.charAt(0).toLowerCase() + model.slice(1)]: {
      updateManyVersioned(this: unknown, items: unknown, options?: unknown) {
        return lazily(
          'updateManyVersioned',
          () => ({ items: snapshot(items, 'updateManyVersioned'), options: snapshot(options, 'options') }),
          async (given) => {
            const list: readonly unknown[] = Array.isArray(given.items) ? given.items : []
            for (const [i, item] of list.entries()) {
              if (isRecord(item)) protection.check(model, 'update', item.data, `[${i}].data`)
            }
            return below.call(this, given.items, given.options)
          },
        )
      },
    },
  }
}
