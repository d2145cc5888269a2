import { propertyOf } from '../prisma/client.js'
import type { Protection } from './balance-guard.js'

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
