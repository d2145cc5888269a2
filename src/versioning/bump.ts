import type { Field } from '../engine/data-model.js'
import type { ActionArgs } from '../engine/records.js'
import { isRecord } from '../values/validation.js'
import type { VersionedModels } from './versioned-models.js'

type Args = Readonly<Record<string, unknown>>

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface PlainCall {
  readonly model: string
  readonly args: ActionArgs
  readonly query: (args: ActionArgs) => PromiseLike<unknown>
}

/** Hooks with which writes of Prisma's own bump the versions. */
export function bumpHooks(versions: VersionedModels): Record<never, never> {
  const bump =
    (key: 'data' | 'update') =>
    ({ model, args, query }: PlainCall) =>
      query(bumpPlainWrite(versions, model, key, args))
  return {
    update: bump('data'),
    updateMany: bump('data'),
    updateManyAndReturn: bump('data'),
    upsert: bump('update'),
  }
}

/**
 * The arguments of a plain write, with `version: { increment: 1 }` added wherever they update a
 * versioned model, at top level and in nested writes. So the write stays one statement, and a
 * versioned writer who read before it conflicts.
 */
function bumpPlainWrite(versions: VersionedModels, model: string, key: 'data' | 'update', args: Args): Args {
  const data = args[key]
  return isRecord(data) ? { ...args, [key]: bumped(versions, model, data) } : args
}

/** Update data of `model`. Data that sets the version itself, and empty data, pass unchanged. */
function bumped(versions: VersionedModels, model: string, data: Args): Args {
  const versioned = versions.get(model)
  const result = bumpNested(versions, model, data)
  if (!versioned?.bumpsPlainWrites) return result
  const { name } = versioned.version
  if (data[name] === versions.keepMark) {
    const { [name]: _keep, ...rest } = result
    return rest
  }
  const writes = Object.entries(data).filter(([, value]) => value !== undefined)
  if (writes.length === 0 || writes.some(([field]) => field === name)) return result
  return { ...result, [name]: { increment: 1 } }
}

function bumpNested(versions: VersionedModels, model: string, data: Args): Args {
  const fields = versions.fieldsOf(model)
  const result: Record<string, unknown> = { ...data }
  for (const [name, value] of Object.entries(data)) {
    const field = fields.get(name)
    if (field?.kind === 'relation' && isRecord(value)) result[name] = bumpRelation(versions, field, value)
  }
  return result
}

/** The nested operations that update rows. `create`, `connect` and the like update none of the related model. */
function bumpRelation(versions: VersionedModels, field: Field, operations: Args): Args {
  const target = field.type
  const { update, updateMany, upsert } = operations
  if (update === undefined && updateMany === undefined && upsert === undefined) return operations
  const result: Record<string, unknown> = { ...operations }
  if (update !== undefined) {
    result.update = each(update, (item) => {
      const wrapped = wrappedForm(versions, field, item)
      return wrapped ? { ...wrapped, data: bumpedIn(wrapped.data) } : bumped(versions, target, item)
    })
  }
  if (updateMany !== undefined) {
    result.updateMany = each(updateMany, (item) => ({ ...item, data: bumpedIn(item.data) }))
  }
  if (upsert !== undefined) {
    result.upsert = each(upsert, (item) => ({ ...item, update: bumpedIn(item.update) }))
  }
  return result

  function bumpedIn(data: unknown): unknown {
    return isRecord(data) ? bumped(versions, target, data) : data
  }
}

/**
 * A nested `update` is `{ where, data }`, where the relation is a list. On a single relation it is
 * that or the data itself, and only a model that has a field called `data` makes the two hard to
 * tell apart. Prisma takes data that can be both for the wrapped form; a `where` keeps it from
 * taking it for the other one after all, and the version for a part of some JSON.
 */
function wrappedForm(versions: VersionedModels, field: Field, item: Args): Args | undefined {
  if (field.isList) return item
  if (!isRecord(item.data)) return undefined
  const fields = versions.fieldsOf(field.type)
  if (!fields.has('data')) return item
  if (Object.keys(item).some((name) => name !== 'where' && name !== 'data')) return undefined
  if (item.where !== undefined) return item
  return Object.keys(item.data).every((name) => fields.has(name)) ? { ...item, where: {} } : undefined
}

function each(value: unknown, change: (item: Args) => Args): unknown {
  if (Array.isArray(value)) return value.map((item) => (isRecord(item) ? change(item) : item))
  return isRecord(value) ? change(value) : value
}
