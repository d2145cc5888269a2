import { ConfigurationError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { observed } from '../events/events.js'
import type { ModelContext, PrismaClientLike } from '../prisma/client.js'
import { readDataModel } from '../prisma/data-model.js'
import { type Implementation, modelContext } from '../prisma/extension.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import type { RecordsOf } from '../prisma/records.js'
import type { Exactly, GivenArgs, RecordOf } from '../prisma/types.js'
import { versionColumnsOf } from '../prisma/version-columns.js'
import type { CallOptions } from '../retry/call-options.js'
import type { FencedCalls } from '../transactions/extension.js'
import { type FenceOption, takeFence } from '../transactions/fence.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { isContract, tableInContract } from './contract.js'
import { deleteVersioned } from './delete.js'
import { triggerSql } from './trigger.js'
import type {
  DeleteVersionedArgs,
  Returned,
  TryUpdateResult,
  UpdateManyResult,
  UpdateManyVersionedItem,
  UpdateVersionedArgs,
} from './types.js'
import { update } from './update.js'
import { type VersionedModel, VersionedModels } from './versioned-models.js'
import type { Versioning } from './versioning.js'

// `in out`: two of these are the same only for the same options. The compiler finds no use of O that it
// can compare, and would take the methods of a client that is extended twice for one.

/** The type of `updateVersioned`. */
export type UpdateVersioned<in out O> = <T, const S extends GivenArgs, R extends Returned<T, O, R>>(
  this: T,
  args: UpdateVersionedArgs<T, O, S, R> & Exactly<T, S>,
) => Promise<RecordOf<T, S>>

/** The type of `tryUpdateVersioned`. */
export type TryUpdateVersioned<in out O> = <T, const S extends GivenArgs, R extends Returned<T, O, R>>(
  this: T,
  args: UpdateVersionedArgs<T, O, S, R> & Exactly<T, S>,
) => Promise<TryUpdateResult<T, S, O>>

/** The type of `deleteVersioned`. */
export type DeleteVersioned<in out O> = <T, const S extends GivenArgs>(
  this: T,
  args: DeleteVersionedArgs<T, O> & Exactly<T, S>,
) => Promise<RecordOf<T, S>>

/** The type of `updateManyVersioned`. */
export type UpdateManyVersioned<in out O> = <T, const M extends 'all' | 'each' = 'all'>(
  this: T,
  items: readonly UpdateManyVersionedItem<T, O>[],
  options?: { mode?: M } & CallOptions & FenceOption,
) => Promise<UpdateManyResult<T, O, M>>

/** The methods of versioned writes that every model has. O is the type of the options of `concurrency()`. */
export interface VersionedModelMethods<O> {
  /**
   * Updates one record if nobody else has written it meanwhile, and adds 1 to its version.
   *
   * With `data` as a function the record is read, given to the function, and written under
   * the version that was read; on a conflict all of it is done again, until it wins. The
   * function may run several times, and must not use the root client. Its return value is
   * written; `undefined` writes nothing.
   *
   * With `data` as an object, `where` holds the version that the caller has read, and the
   * write is tried once.
   *
   * @throws VersionConflictError if the record has another version than expected
   * @throws P2025 of Prisma's if there is no such record
   * @throws OutcomeUnknownError if the connection was lost and the record has moved on
   *
   * @example
   * await db.product.updateVersioned({ where: { id }, data: (current) => ({ stock: current.stock - 1 }) })
   * @example
   * await db.product.updateVersioned({ where: { id, version: 7 }, data: { name: 'Chai' } })
   */
  updateVersioned: UpdateVersioned<O>

  /**
   * Like `updateVersioned`, with a stale or missing record as a value instead of an error.
   *
   * @returns `{ status: 'updated', record }`, `{ status: 'stale', expected, actual, current }`
   *   with the record as it is now, `{ status: 'missing' }`, or `{ status: 'unchanged', record }`
   *   if the function returned `undefined`
   *
   * @example
   * const result = await db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: { name: 'Chai' } })
   * if (result.status === 'stale') return reply.code(412).send(result.current)
   */
  tryUpdateVersioned: TryUpdateVersioned<O>

  /**
   * Deletes one record if it still has the version that the caller has read.
   *
   * @throws VersionConflictError if it has another version
   * @throws P2025 of Prisma's if there is no such record
   * @throws OutcomeUnknownError if the connection was lost, and the record is gone or has moved on
   *
   * @example
   * await db.product.deleteVersioned({ where: { id, version: 7 } })
   */
  deleteVersioned: DeleteVersioned<O>

  /**
   * Updates many records, each if it still has its own expected version, in one statement.
   * Rows are locked in the order of the primary key, or else of a unique key, so that batches never deadlock.
   *
   * @param items `{ where, data }` each; `data` takes scalar values, `set`, `increment` and `decrement`
   * @param options `mode: 'all'` (the default) writes all or, with an error, none; `mode: 'each'`
   *   writes those that are fresh
   * @returns a verdict per item, in the order given
   * @throws BatchVersionConflictError in mode `all`, with every record that is stale or missing
   *
   * @example
   * await db.product.updateManyVersioned([
   *   { where: { id: 1, version: 3 }, data: { stock: { decrement: 2 } } },
   *   { where: { id: 2, version: 0 }, data: { stock: 4 } },
   * ])
   */
  updateManyVersioned: UpdateManyVersioned<O>
}

/** The methods as they are run. */
export function versionedModelMethods(
  shared: Versioning,
  recordsOf: RecordsOf,
  fencedCall: FencedCalls,
): Implementation<VersionedModelMethods<unknown>> {
  const call = <A, R>(
    called: object,
    method: string,
    read: () => A,
    run: (records: ReturnType<RecordsOf>, given: A, events: CallEvents | undefined) => Promise<R>,
  ) => {
    const context = modelContext(called)
    return lazyPromise(method, read, (given) => {
      const send = (on: ModelContext) =>
        observed(shared.events, method, on.$name, async (events) => run(recordsOf(on), given, events))
      const taken = takeFence(given)
      return taken ? fencedCall(context, taken, send) : send(context)
    })
  }
  return {
    updateVersioned(args) {
      const read = () => argumentsOf(args)
      return call(this, 'updateVersioned', read, async (records, given, events) => {
        const outcome = await update(shared, records, { given, wantsCurrent: false, events })
        if ('record' in outcome) return outcome.record
        throw outcome.error
      })
    },
    tryUpdateVersioned(args) {
      const read = () => argumentsOf(args)
      return call(this, 'tryUpdateVersioned', read, async (records, given, events) => {
        const outcome = await update(shared, records, { given, wantsCurrent: true, events })
        if ('record' in outcome) return outcome
        const { error: _, ...rest } = outcome
        return rest
      })
    },
    deleteVersioned(args) {
      const read = () => argumentsOf(args)
      return call(this, 'deleteVersioned', read, (records, given, events) =>
        deleteVersioned(shared, records, given, events),
      )
    },
    updateManyVersioned(items, options) {
      const read = () => {
        const given = { items: snapshot(items, 'updateManyVersioned'), options: snapshot(options, 'options') }
        const taken = takeFence(given.options)
        return taken ? { ...given, ...taken } : given
      }
      return call(this, 'updateManyVersioned', read, async (records, given, events) => {
        const { updateManyVersioned } = await import('./update-many.js')
        return updateManyVersioned(shared, records, given, events)
      })
    },
  }
}

/**
 * SQL for a migration that makes PostgreSQL itself bump the version of a model, whoever writes:
 * raw SQL, another ORM, a cascade. It adds 1 whenever an UPDATE leaves the version as it is or
 * sets it back, so writes that bump it themselves are bumped once, not twice. Can be run again.
 *
 * @param client any PrismaClient of the schema, extended or not; or a `contract.json` of Prisma 8, parsed
 * @param model the model's name, such as `Product`
 * @param options `field`: the version column's field, of a client without `concurrency()` that has
 *   another one than `version`. An extended client knows its version columns.
 * @throws ConfigurationError if the model has no such version column, or `concurrency()` another one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_version_trigger/migration.sql', versionTriggerSql(db, 'Product'))
 *
 * Source: PostgreSQL manual, "39.1. Overview of Trigger Behavior".
 */
export function versionTriggerSql(client: object, model: string, options: { readonly field?: string } = {}): string {
  return triggerSql(
    isContract(client) ? tableInContract(client, model, options.field) : versionedModel(client, model, options.field),
  )
}

function versionedModel(client: object, model: string, field: string | undefined): VersionedModel {
  const known = versionColumnsOf(client)
  if (known instanceof VersionedModels && field === undefined) return known.require(model)
  const own = known?.fieldOf(model)
  if (own !== undefined && own !== field) {
    const message = own === false ? 'no version column' : `the version column ${own}`
    throw new ConfigurationError([
      { path: 'field', message: `is ${field}, but to concurrency() ${model} has ${message}` },
    ])
  }
  const settings = field === undefined ? {} : { models: { [model]: { field } } }
  return new VersionedModels(readDataModel(client as PrismaClientLike), settings).require(model)
}
