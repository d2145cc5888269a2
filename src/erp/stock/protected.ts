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
type Hook = (call: Call) => unknown

const CREATES = ['create', 'createMany', 'createManyAndReturn']
const UPDATES = ['update', 'updateMany', 'updateManyAndReturn']
const DELETES = ['delete', 'deleteMany']

/** Hooks of Prisma's own writes: of all models, since a nested write may reach the guarded ones from anywhere. */
export function protectedQueries(protection: Protection): Record<string, Record<never, never>> {
  const creates = hooks(CREATES, ({ model, args }) => protection.check(model, 'create', args.data, 'data'))
  const updates = hooks(UPDATES, ({ model, args }) => protection.check(model, 'update', args.data, 'data'))
  const upserts = hooks(['upsert'], ({ model, args }) => {
    protection.check(model, 'create', args.create, 'create')
    protection.check(model, 'update', args.update, 'update')
  })
  // A delete has nothing nested.
  const deletes = protection.models.map((model) => [
    propertyOf(model),
    Object.assign({}, ...DELETES.map((name) => hooks([name], () => protection.checkDelete(model, name)))),
  ])
  return { $allModels: { ...creates, ...updates, ...upserts }, ...Object.fromEntries(deletes) }
}

function hooks(names: readonly string[], check: (call: Call) => void): Record<string, Hook> {
  const hook: Hook = (call) => {
    check(call)
    return call.query(call.args as never)
  }
  return Object.fromEntries(names.map((name) => [name, hook]))
}

/** `updateManyVersioned` of the guarded models sends SQL of its own, which no hook of Prisma's sees. */
export function protectedModels(
  parent: PrismaClientLike,
  protection: Protection,
): Readonly<Record<string, Record<never, never>>> {
  return Object.fromEntries(
    protection.models.map((model) => [propertyOf(model), protectedModel(parent, model, protection)]),
  )
}

function protectedModel(parent: PrismaClientLike, model: string, protection: Protection): Record<never, never> {
  const below = (modelOf(parent, model) as unknown as { readonly updateManyVersioned: (...args: unknown[]) => unknown })
    .updateManyVersioned
  return {
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
  }
}

function propertyOf(model: string): string {
  return model.charAt(0).toLowerCase() + model.slice(1)
}
