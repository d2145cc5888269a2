import type { DataModel } from '../../engine/data-model.js'
import { KeyStore } from '../../idempotency/key-store.js'
import { idempotencyKeySchema } from '../../idempotency/schema.js'
import { mapInbox } from '../../inbox/mapping.js'
import { inboxSchema } from '../../inbox/schema.js'
import { mapJobs } from '../../jobs/mapping.js'
import { jobSchema } from '../../jobs/schema.js'
import { mapLeases } from '../../leases/mapping.js'
import { leaseSchema } from '../../leases/schema.js'
import { mapOutbox } from '../../outbox/mapping.js'
import { outboxSchema } from '../../outbox/schema.js'
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
  /** The feature that its extension builds on. */
  readonly needs?: FeatureName
}

/** Features that have flags of their own. */
export type FlagName = 'stock' | 'serials' | 'series' | 'idempotency'
/** Features of the entry `work`, in the order of their extensions. `--with` names them. */
export const WORK_FEATURES = ['leases', 'jobs', 'outbox', 'inbox'] as const
export type WorkName = (typeof WORK_FEATURES)[number]
export type FeatureName = FlagName | WorkName

export const isWork = (name: string): name is WorkName => WORK_FEATURES.some((one) => one === name)

/** More of the features, and the feature that each is of. Those of stock are named as the options of `stockSchema()`. */
export const PARTS = {
  lots: 'stock',
  history: 'stock',
  maximum: 'stock',
  orders: 'stock',
  refusals: 'stock',
  periods: 'stock',
  slots: 'stock',
  'serial-history': 'serials',
  'serial-state': 'serials',
  voids: 'series',
  parallel: 'series',
} as const satisfies Readonly<Record<Exclude<keyof StockSchemaOptions, 'scope'>, 'stock'>> &
  Readonly<Record<string, FeatureName>>
export type Part = keyof typeof PARTS

/** The parts of stock that go with slots. */
export const WITH_SLOTS: readonly Part[] = ['slots', 'history']

/** The features, for one company each where `scope` names the fields that keep companies apart. */
export function featuresOf(scope: readonly string[], parts: readonly Part[] = []): readonly InitFeature[] {
  const scoped = scope.length > 0 ? { scope } : {}
  const options = { scoped, written: scope.length > 0 ? `scope: [${listed(scope)}]` : '', parts }
  return [stockFeature(options), serialsFeature(options), seriesFeature(options), IDEMPOTENCY, ...WORK]
}

interface FeatureOptions {
  readonly scoped: { readonly scope?: readonly string[] }
  /** The scope, as the application names it. */
  readonly written: string
  readonly parts: readonly Part[]
}

function stockFeature({ scoped, written, parts }: FeatureOptions): InitFeature {
  const key = ['productId', 'warehouse', ...(parts.includes('lots') ? ['lot'] : [])]
  const isRemembered = parts.includes('refusals')
  const hasPeriods = parts.includes('periods')
  const hasSlots = parts.includes('slots')
  const stock = {
    ...scoped,
    item: { model: 'Stock', key, ...(hasPeriods && { opening: 'opening' }), ...(hasSlots && { slots: 'slot' }) },
    movement: { model: 'StockMovement', ...(isRemembered && { refused: 'refused' }) },
    ...(!hasSlots && { reservation: { model: 'StockReservation' } }),
    rememberRefusals: isRemembered,
  }
  return featureOf({
    name: 'stock',
    summary: 'stock, or any balance with a ledger, that must not go below a minimum',
    schema: stockSchema({ ...scoped, ...Object.fromEntries(parts.map((part) => [part, true])) }),
    check: (models) => mapStock(models, stock),
    extension: `stock({${written && `\n      ${written},`}
      item: { model: 'Stock', key: [${listed(key)}]${hasPeriods ? ", opening: 'opening'" : ''}${hasSlots ? ", slots: 'slot'" : ''} },
      movement: { model: 'StockMovement'${isRemembered ? ", refused: 'refused'" : ''} },${hasSlots ? '' : "\n      reservation: { model: 'StockReservation' },"}${isRemembered ? '\n      rememberRefusals: true,' : ''}
    })`,
  })
}

function serialsFeature({ scoped, written, parts }: FeatureOptions): InitFeature {
  const [history, state] = [parts.includes('serial-history'), parts.includes('serial-state')]
  const states = { state: { free: 'FREE', allocated: 'ALLOCATED' } }
  const given = [
    written,
    state ? "serial: { state: { free: 'FREE', allocated: 'ALLOCATED' } }" : '',
    history ? 'history: {}' : '',
  ].filter((part) => part !== '')
  return featureOf({
    name: 'serials',
    summary: 'serial numbers of things, each of which has one owner',
    schema: serialsSchema({ ...scoped, history, state }),
    check: (models) =>
      mapSerials(models, { ...scoped, ...(state && { serial: states }), ...(history && { history: {} }) }),
    extension: `serials(${given.length > 0 ? `{ ${given.join(', ')} }` : ''})`,
  })
}

function seriesFeature({ scoped, written, parts }: FeatureOptions): InitFeature {
  const parallel = parts.includes('parallel')
  const voids = parts.includes('voids')
  const series = { invoice: { format: 'INV-{yyyy}-{000000}', ...(parallel && { parallel }) } }
  const given = [
    written,
    `series: { invoice: { format: 'INV-{yyyy}-{000000}'${parallel ? ', parallel: true' : ''} } }`,
    voids ? 'void: {}' : '',
  ].filter((part) => part !== '')
  return featureOf({
    name: 'series',
    summary: 'numbers of documents, such as invoices, without gaps',
    schema: seriesSchema({ ...scoped, parallel, ...(voids && { void: voids }) }),
    check: (models) => mapSeries(models, { ...scoped, series, ...(voids && { void: {} }) }),
    extension: `series({ ${given.join(', ')} })`,
  })
}

const IDEMPOTENCY = featureOf({
  name: 'idempotency',
  summary: 'operations and jobs that happen once: $idempotent and $oncePer',
  schema: idempotencyKeySchema(),
  check: (models) => new KeyStore(models, 'IdempotencyKey'),
})

const WORK = [
  featureOf({
    name: 'leases',
    summary: 'work of hours, by one machine at a time: $withLease',
    schema: leaseSchema(),
    check: (models) => mapLeases(models, {}),
    extension: 'leases()',
  }),
  featureOf({
    name: 'jobs',
    summary: 'jobs that run when they are due, with a history: $job',
    schema: jobSchema(),
    check: (models) => mapJobs(models, mapLeases(models, {}), {}),
    extension: 'jobs()',
    needs: 'leases',
  }),
  featureOf({
    name: 'outbox',
    summary: 'messages that are sent after the commit, at least once: $outbox',
    schema: outboxSchema(),
    check: (models) => mapOutbox(models, {}),
    extension: 'outbox()',
  }),
  featureOf({
    name: 'inbox',
    summary: 'messages of a queue that are handled once: $inbox',
    schema: inboxSchema(),
    check: (models) => mapInbox(models, {}),
    extension: 'inbox()',
  }),
]

/** Those of the names, and those on which they build. */
export function featuresNamed(
  all: readonly InitFeature[],
  isNamed: (feature: InitFeature) => boolean,
): readonly InitFeature[] {
  const named = all.filter(isNamed)
  return all.filter((feature) => named.includes(feature) || named.some(({ needs }) => needs === feature.name))
}

/** Without a scope. */
export const FEATURES = featuresOf([])

function featureOf(feature: Omit<InitFeature, 'models'>): InitFeature {
  return { ...feature, models: Array.from(feature.schema.matchAll(/^model (\w+) /gm), ([, name = '']) => name) }
}

function listed(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ')
}
