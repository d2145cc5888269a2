import type { BalanceGuard } from './balance-guard.js'

interface Call {
  readonly model: string
  readonly args: Readonly<Record<string, unknown>>
  readonly query: (args: never) => unknown
}
type Hook = (call: Call) => unknown

const CREATES = ['create', 'createMany', 'createManyAndReturn']
const UPDATES = ['update', 'updateMany', 'updateManyAndReturn']
const DELETES = ['delete', 'deleteMany']

/**
 * Hooks of Prisma's own writes: of all models, since a nested write may reach the guarded ones from anywhere.
 *
 * @param propertyOf gives the name that a model has on the client
 */
export function guardedQueries(
  guard: BalanceGuard,
  propertyOf: (model: string) => string,
): Record<string, Record<never, never>> {
  const creates = hooks(CREATES, ({ model, args }) => guard.check(model, 'create', args.data, 'data'))
  const updates = hooks(UPDATES, ({ model, args }) => guard.check(model, 'update', args.data, 'data'))
  const upserts = hooks(['upsert'], ({ model, args }) => {
    guard.check(model, 'create', args.create, 'create')
    guard.check(model, 'update', args.update, 'update')
  })
  // A delete has nothing nested.
  const deletes = guard.models.map((model) => [
    propertyOf(model),
    Object.assign({}, ...DELETES.map((name) => hooks([name], () => guard.checkDelete(model, name)))),
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
