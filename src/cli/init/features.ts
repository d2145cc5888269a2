import type { DataModel } from '../../engine/data-model.js'
import { KeyStore } from '../../idempotency/key-store.js'
import { idempotencyKeySchema } from '../../idempotency/schema.js'
import { mapSerials } from '../../serials/mapping.js'
import { serialsSchema } from '../../serials/schema.js'
import { mapSeries } from '../../series/mapping.js'
import { seriesSchema } from '../../series/schema.js'
import { mapStock } from '../../stock/mapping.js'
import { type StockSchemaOptions, stockSchema } from '../../stock/schema.js'

/** A feature with models of its own. */
export interface InitFeature {
  readonly name: FeatureName
  readonly summary: string
  /** Its models, as the package prints them. */
  readonly schema: string
  readonly models: readonly string[]
  /** @throws ConfigurationError if the models that there are would not do */
  check(models: DataModel): void
  /** The extension, as the application applies it; none where that of `concurrency()` is enough. */
  readonly extension?: string
}

export type FeatureName = 'stock' | 'serials' | 'series' | 'idempotency'

/** More columns of stock, by the names of the options of `stockSchema()`. */
export const STOCK_PARTS = ['lots', 'history', 'maximum', 'orders', 'refusals'] as const satisfies readonly Exclude<
  keyof StockSchemaOptions,
  'scope'
>[]
export type StockPart = (typeof STOCK_PARTS)[number]

/** The features, for one company each where `scope` names the fields that keep companies apart. */
export function featuresOf(scope: readonly string[], parts: readonly StockPart[] = []): readonly InitFeature[] {
  const options = scope.length > 0 ? { scope } : {}
  const key = ['productId', 'warehouse', ...(parts.includes('lots') ? ['lot'] : [])]
  const isRemembered = parts.includes('refusals')
  const stock = {
    ...options,
    item: { model: 'Stock', key },
    movement: { model: 'StockMovement', ...(isRemembered && { refused: 'refused' }) },
    reservation: { model: 'StockReservation' },
    rememberRefusals: isRemembered,
  }
  const written = scope.length > 0 ? `scope: [${scope.map((name) => `'${name}'`).join(', ')}]` : ''
  return [
    featureOf({
      name: 'stock',
      summary: 'stock, or any balance with a ledger, that must not go below a minimum',
      schema: stockSchema({ ...options, ...Object.fromEntries(parts.map((part) => [part, true])) }),
      check: (models) => mapStock(models, stock),
      extension: `stock({${written && `\n      ${written},`}
      item: { model: 'Stock', key: [${key.map((name) => `'${name}'`).join(', ')}] },
      movement: { model: 'StockMovement'${isRemembered ? ", refused: 'refused'" : ''} },
      reservation: { model: 'StockReservation' },${isRemembered ? '\n      rememberRefusals: true,' : ''}
    })`,
    }),
    featureOf({
      name: 'serials',
      summary: 'serial numbers of things, each of which has one owner',
      schema: serialsSchema(options),
      check: (models) => mapSerials(models, options),
      extension: `serials(${written && `{ ${written} }`})`,
    }),
    featureOf({
      name: 'series',
      summary: 'numbers of documents, such as invoices, without gaps',
      schema: seriesSchema(options),
      check: (models) => mapSeries(models, options),
      extension: `series({ ${written && `${written}, `}series: { invoice: { format: 'INV-{yyyy}-{000000}' } } })`,
    }),
    featureOf({
      name: 'idempotency',
      summary: 'operations and jobs that happen once: $idempotent and $oncePer',
      schema: idempotencyKeySchema(),
      check: (models) => new KeyStore(models, 'IdempotencyKey'),
    }),
  ]
}

/** Without a scope. */
export const FEATURES = featuresOf([])

function featureOf(feature: Omit<InitFeature, 'models'>): InitFeature {
  return { ...feature, models: Array.from(feature.schema.matchAll(/^model (\w+) /gm), ([, name = '']) => name) }
}
