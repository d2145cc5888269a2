import type { DataModel } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import type { FeatureSetup } from '../engine/setup.js'
import type { StockQuantity } from '../errors/index.js'
import { observed } from '../events/events.js'
import { mapLeases } from '../leases/mapping.js'
import { LeaseMethods } from '../leases/methods.js'
import { checkLeasesOptions, type LeasesOptions } from '../leases/options.js'
import type { LeaseClientMethods } from '../leases/types.js'
import { type Feature, methodsOf } from '../mapping/feature.js'
import { checkName } from '../mapping/members.js'
import type { Scoped } from '../mapping/scoped.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { mapSerials } from '../serials/mapping.js'
import { SerialsFeature } from '../serials/methods.js'
import { checkSerialsOptions, type SerialsOptions } from '../serials/options.js'
import { Runner } from '../serials/run.js'
import type { ScopedSerials, Serials, SerialsHistory } from '../serials/types.js'
import type { RowDocumentsOf } from '../series/documents-of.js'
import { mapSeries } from '../series/mapping.js'
import { SeriesFeature } from '../series/methods.js'
import { checkSeriesOptions, type SeriesOptions } from '../series/options.js'
import type { SeriesOf } from '../series/types.js'
import { StockExecutor } from '../stock/executor.js'
import { mapStock } from '../stock/mapping.js'
import { StockFeature } from '../stock/methods.js'
import { checkStockOptions, type StockOptions } from '../stock/options.js'
import type { LedgerName, PlaceOf, Stock } from '../stock/types.js'
import { DEFAULT_MAX_WAITING } from '../sync/batcher.js'
import type { RetryingRoot } from '../transactions/method.js'
import { pgDocuments } from './documents.js'
import type { PgExtension } from './extension.js'

type Scalar = string | number | bigint
/** The values of the scope that the options name. */
export type PgScope<O> = O extends { readonly scope: readonly (infer F extends string)[] }
  ? { readonly [K in F]: Scalar }
  : never
/** The name of an item: the value of its key, or an object with a value for each field of the key. */
export type PgItem = Scalar | Readonly<Record<string, Scalar>>

/** The option `scope` with the fields of the type that is given for it; none without one. */
export type PgScopeOption<Scope extends object> = [Scope] extends [never]
  ? { readonly scope?: never }
  : { readonly scope: readonly (keyof Scope & string)[] }

/** Methods that take the scope, where there is one. */
export type PgScoped<T, Scope extends object> = [Scope] extends [never] ? T : Scoped<T, Scope>

/**
 * The extension for stock, `db.$stock`, with the same options and the same tables as `stock()` of
 * `prisma-extension-concurrency/erp`. `Item` is what names an item, and `Quantity` the type of its column: `number`,
 * `bigint`, or `Numeric` for a `numeric`. With the option `scope`, `Scope` is what names one, such as
 * `{ companyId: number }`. `Data` and `Held` are the other columns of movements and of reservations, and `End`
 * is `Date` where every reservation has an end of its own. With the option
 * `name` its type comes first, as in `stock<'credit', number>({ name: 'credit', … })`, and the member is `db.$credit`.
 *
 * Of the writes of `onHand` in SQL of your own, nothing is refused: a stocktake is a `count`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const shop = db.$extends(
 *   stock<number, number>({
 *     item: { model: 'Product', key: 'id', onHand: 'stock' },
 *     movement: { model: 'ProductMovement', item: 'productId' },
 *   }),
 * )
 * await shop.$stock.move({ transactionId: key, item: productId, quantity: -3 })
 */
export function stock<
  Item = PgItem,
  Quantity = StockQuantity,
  Scope extends object = never,
  Data extends object = Row,
  Held extends object = Row,
  End extends Date | null = Date | null,
>(
  options: StockOptions & PgScopeOption<Scope> & { readonly name?: never },
): PgExtension<{ readonly $stock: PgScoped<Stock<Item, Quantity, Data, Held, PlaceOf<Item>, object, End>, Scope> }>
export function stock<
  const Name extends string,
  Item = PgItem,
  Quantity = StockQuantity,
  Scope extends object = never,
  Data extends object = Row,
  Held extends object = Row,
  End extends Date | null = Date | null,
>(
  options: StockOptions & PgScopeOption<Scope> & { readonly name: Name },
): PgExtension<{
  readonly [N in LedgerName<{ readonly name: Name }>]: PgScoped<
    Stock<Item, Quantity, Data, Held, PlaceOf<Item>, object, End>,
    Scope
  >
}>
export function stock(options: StockOptions): PgExtension<object> {
  return stockOf(options)
}

/** The same, of options that nobody knows the types of. */
export function stockOf<N extends object>(options: StockOptions): PgExtension<N> {
  const { retry, maxWaiting = DEFAULT_MAX_WAITING, ...given } = checkStockOptions(options)
  return extensionOf('stock', (root, models) => {
    const map = mapStock(models, given)
    return new StockFeature(map, resolvePolicy(DEFAULT_POLICY, retry), new StockExecutor(root, map, maxWaiting))
  })
}

/** `$serials` of rows of the model; with the fields `F`, for one scope at a time. */
export type PgSerials<Serial, F extends string, Part = Partial<Omit<Serial, F>>> = ScopedSerials<
  Serials<Serial, Part, Part, Part> & SerialsHistory<Part, Row>,
  [F] extends [never] ? never : { [K in F]: K extends keyof Serial ? Serial[K] : Scalar }
>

/**
 * The extension for serial numbers, `db.$serials`, with the same options and the same tables as `serials()` of
 * `prisma-extension-concurrency/erp`. `Serial` is a row of the model, by the names of its fields, and `F` the fields of
 * the scope, if there is one: `serials<SerialRow, 'companyId'>({ scope: ['companyId'] })`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const shop = db.$extends(serials())
 * await shop.$serials.allocate({ transactionId: key, where: { productId }, count: 3 })
 */
export function serials<Serial extends object = Row, const F extends string = never>(
  options: SerialsOptions & { readonly scope?: readonly F[] } = {},
): PgExtension<{ readonly $serials: PgSerials<Serial, F> }> {
  const { maxWaiting = DEFAULT_MAX_WAITING, ...given } = checkSerialsOptions(options)
  return extensionOf('serials', (root, models) => {
    const map = mapSerials(models, given)
    // A row is what SQL gives, so it needs no other reader.
    const serial = { ...map.serial, readable: [...map.serial.model.fields.values()] }
    return new SerialsFeature({ ...map, serial }, new Runner(root, given.retry), maxWaiting, async () => [])
  })
}

/**
 * The extension for number series, `db.$series`, with the same options and the same tables as `series()` of
 * `prisma-extension-concurrency/erp`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const shop = db.$extends(series({ series: { invoice: { format: 'INV-{yyyy}-{000000}' } } }))
 * await shop.$transactionWithRetry((tx) => tx.$series.next('invoice', { transactionId: key }))
 */
export function series<const O extends SeriesOptions>(
  options?: O,
): PgExtension<{ readonly $series: SeriesOf<O, RowDocumentsOf<O>, PgScope<O>> }> {
  const given = checkSeriesOptions(options ?? {})
  return extensionOf(
    'series',
    (root, models) => new SeriesFeature(mapSeries(models, given), root, pgDocuments(root), given),
  )
}

/**
 * The extension for leases, `db.$withLease` and `tx.$assertLease`, with the same options and the same table as `leases()` of
 * `prisma-extension-concurrency/work`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const worker = db.$extends(leases())
 * await worker.$withLease('search-index', { ttl: 30_000 }, (lease) => rebuild(lease))
 */
export function leases(options: LeasesOptions = {}): PgExtension<LeaseClientMethods> {
  const given = checkLeasesOptions(options)
  return {
    apply(root, models) {
      const map = mapLeases(models, given)
      const methods = new LeaseMethods(map, root.events)
      const hold =
        (session: Session): LeaseClientMethods['$withLease'] =>
        (name, given, body) =>
          methods.hold(session, name, given, body)
      const assert =
        (session: Session): LeaseClientMethods['$assertLease'] =>
        (lease, given) =>
          methods.assert(session, lease, given)
      return [
        { name: '$withLease', models: [map.model.name], feature: { name: 'leases', map }, make: hold },
        { name: '$assertLease', models: [], make: assert },
      ]
    },
  }
}

export function extensionOf<N extends object>(
  name: FeatureSetup['name'],
  make: (root: RetryingRoot, models: DataModel) => Feature,
): PgExtension<N> {
  return {
    apply(root, models) {
      const feature = make(root, models)
      const member = feature.name ?? `$${name}`
      if (feature.name) checkName(root.client, feature.name)
      return {
        name: member,
        models: feature.models.map((model) => model.name),
        feature: { name, map: feature.map },
        make: (session) =>
          methodsOf(
            feature,
            session,
            (method) => async (read) => observed(root.events, `${member}.${method}`, undefined, read()),
          ),
      }
    },
  }
}
