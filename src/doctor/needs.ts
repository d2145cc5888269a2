import type { Field, Model } from '../engine/data-model.js'
import type { ClientSetup, FeatureSetup } from '../engine/setup.js'
import { DEFAULT_KEY_MODEL } from '../idempotency/key-store.js'
import type { InboxMap } from '../inbox/mapping.js'
import type { JobMap } from '../jobs/mapping.js'
import type { LeaseMap } from '../leases/mapping.js'
import type { OutboxMap } from '../outbox/mapping.js'
import type { SerialsMap } from '../serials/mapping.js'
import type { SeriesMap } from '../series/mapping.js'
import type { NeededKey } from '../sql/unique-keys.js'
import type { StepsMap } from '../steps/mapping.js'
import type { StockMap } from '../stock/mapping.js'

export type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'

/** A table that a feature keeps its rows in. */
export interface NeededTable {
  readonly feature: string
  readonly model: Model
  readonly privileges: readonly Privilege[]
  /** The fields that its statements name. */
  readonly fields: ReadonlySet<Field>
}

/** A unique key that calls rely on, and the damage without it. */
export interface CostlyKey extends NeededKey {
  readonly cost: string
}

/** The parts of the database that the calls of a client need. */
export interface Needs {
  readonly tables: readonly NeededTable[]
  readonly keys: readonly CostlyKey[]
}

export function needsOf({ dataModel, options, features }: ClientSetup): Needs {
  const all = features.map(needsOfFeature)
  const operations = dataModel.get(options.idempotency?.model ?? DEFAULT_KEY_MODEL)
  if (operations) all.push(needsOfOperations(operations))
  const keys = all.flatMap((needs) => needs.keys)
  const inserts = Array.from(dataModel.values()).flatMap((model) => keysOf(model, keys))
  return { tables: all.flatMap(({ tables }) => tables), keys: [...keys, ...inserts] }
}

function needsOfFeature(feature: FeatureSetup): Needs {
  if (isStock(feature)) return needsOfStock(feature.map)
  if (isLeases(feature)) return needsOfLeases(feature.map)
  if (isJobs(feature)) return needsOfJobs(feature.map)
  if (isOutbox(feature)) return needsOfOutbox(feature.map)
  if (isInbox(feature)) return needsOfInbox(feature.map)
  if (isSteps(feature)) return needsOfSteps(feature.map)
  if (isSerials(feature)) return needsOfSerials(feature.map)
  return isSeries(feature) ? needsOfSeries(feature.map) : { tables: [], keys: [] }
}

export const isStock = (one: FeatureSetup): one is FeatureSetup & { readonly map: StockMap } => one.name === 'stock'
const isLeases = (one: FeatureSetup): one is FeatureSetup & { readonly map: LeaseMap } => one.name === 'leases'
const isJobs = (one: FeatureSetup): one is FeatureSetup & { readonly map: JobMap } => one.name === 'jobs'
const isOutbox = (one: FeatureSetup): one is FeatureSetup & { readonly map: OutboxMap } => one.name === 'outbox'
const isInbox = (one: FeatureSetup): one is FeatureSetup & { readonly map: InboxMap } => one.name === 'inbox'
const isSteps = (one: FeatureSetup): one is FeatureSetup & { readonly map: StepsMap } => one.name === 'steps'
const isSerials = (one: FeatureSetup): one is FeatureSetup & { readonly map: SerialsMap } => one.name === 'serials'
const isSeries = (one: FeatureSetup): one is FeatureSetup & { readonly map: SeriesMap } => one.name === 'series'

function needsOfStock({ name, item, movement, reservation, history, period, keys }: StockMap): Needs {
  const table = tablesOf(name)
  // For `prune`.
  const deletes = period?.closedUntil && item.opening ? (['DELETE'] as const) : []
  // For `setSlots`.
  const slots = item.slots ? (['INSERT', 'DELETE'] as const) : []
  return {
    tables: [
      table({ ...item, more: [history?.last, period?.closedUntil] }, 'SELECT', 'UPDATE', ...slots),
      table(
        { ...movement, more: [period?.date, ...Object.values(history ?? {}).slice(1)] },
        'SELECT',
        'INSERT',
        'UPDATE',
        ...deletes,
      ),
      ...(reservation ? [table(reservation, 'SELECT', 'INSERT', 'UPDATE', ...deletes)] : []),
    ],
    keys: keys.all.map((key) => ({
      ...key,
      cost:
        key.model === item.model
          ? 'an item can have two rows, and a movement writes the balance of both'
          : `a request that is sent again is recorded a second time: stock is moved twice. Until it is there, ${name} refuses every write`,
    })),
  }
}

function needsOfOutbox({ message, key, keys }: OutboxMap): Needs {
  const table = tablesOf('$outbox')
  const cost =
    'two messages have one place, and one of them is never sent. Until it is there, $outbox refuses every call'
  return {
    tables: [message, key].map((each) => table(each, 'SELECT', 'INSERT', 'UPDATE', 'DELETE')),
    keys: keys.all.map((each) => ({ ...each, cost })),
  }
}

function needsOfInbox({ message, version, keys }: InboxMap): Needs {
  const table = tablesOf('$inbox')
  const cost = 'a message is handled twice. Until it is there, $inbox refuses every call'
  return {
    tables: [
      table(message, 'SELECT', 'INSERT', 'DELETE'),
      ...(version ? [table(version, 'SELECT', 'INSERT', 'UPDATE')] : []),
    ],
    keys: keys.all.map((each) => ({ ...each, cost })),
  }
}

function needsOfLeases(map: LeaseMap): Needs {
  const costs = [
    'a name can have two rows, and each of them a holder',
    'a new holder does not wait for the transactions that $assertLease fences. Until it is there, $withLease refuses every call',
  ]
  return {
    tables: [tablesOf('$withLease')(map, 'SELECT', 'INSERT', 'UPDATE')],
    keys: map.keys.all.map((key) => ({ ...key, cost: costs[key.fields.length - 1] ?? '' })),
  }
}

function needsOfJobs(map: JobMap): Needs {
  const cost = 'a run can have two rows. Until it is there, $job refuses every call'
  return {
    tables: [tablesOf('$job')(map, 'SELECT', 'INSERT', 'UPDATE', 'DELETE')],
    keys: map.keys.all.map((key) => ({ ...key, cost })),
  }
}

function needsOfSteps(map: StepsMap): Needs {
  const cost =
    'an operation can have two rows, and each of its steps is done twice. Until it is there, $steps refuses every call'
  return {
    tables: [tablesOf('$steps')(map, 'SELECT', 'INSERT', 'UPDATE', 'DELETE')],
    keys: map.keys.all.map((key) => ({ ...key, cost })),
  }
}

function needsOfSerials({ serial, allocation, history, keys }: SerialsMap): Needs {
  const table = tablesOf('$serials')
  return {
    tables: [
      table(serial, 'SELECT', 'INSERT', 'UPDATE'),
      table(allocation, 'SELECT', 'INSERT', 'UPDATE', 'DELETE'),
      ...(history ? [table(history, 'SELECT', 'INSERT')] : []),
    ],
    keys: keys.all.map((key) => ({
      ...key,
      cost:
        key.model === serial.model
          ? 'a serial number can be there twice, and is given to two owners'
          : key.model === allocation.model
            ? 'a request that is sent again takes serials a second time'
            : 'the history of a serial is found by reading that of all',
    })),
  }
}

function needsOfSeries({ counter, number, voids, free, series, keys }: SeriesMap): Needs {
  const table = tablesOf('$series')
  const documents = Array.from(series.values()).flatMap(({ document }) => document ?? [])
  return {
    tables: [
      table(counter, 'SELECT', 'INSERT', 'UPDATE'),
      table(number, 'SELECT', 'INSERT'),
      ...(voids ? [table(voids, 'SELECT', 'INSERT')] : []),
      ...(free ? [table(free, 'SELECT', 'INSERT', 'UPDATE', 'DELETE')] : []),
      ...documents.map((document) => table(document, 'SELECT', 'INSERT')),
    ],
    keys: [
      ...keys.all.map((key) => ({
        ...key,
        cost:
          key.model === counter.model
            ? 'a series can have two counters, and gives each number twice'
            : 'a number can be given twice, or a request that is sent again gets a second number',
      })),
      ...documents.flatMap((document) =>
        document.keys.all.map((key) => ({ ...key, cost: 'a request that is sent again makes a second document' })),
      ),
    ],
  }
}

/** The key store names its fields itself. */
function needsOfOperations(model: Model): Needs {
  const fields = ['scope', 'key', 'request', 'answer', 'createdAt'].flatMap((name) => model.fields.get(name) ?? [])
  const key = ['scope', 'key'].flatMap((name) => model.fields.get(name) ?? [])
  return {
    tables: [
      {
        feature: '$idempotent',
        model,
        privileges: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
        fields: new Set(fields),
      },
    ],
    keys: [{ model, fields: key, cost: 'an operation that comes twice runs twice: every payment is taken twice' }],
  }
}

function tablesOf(feature: string) {
  return (
    map: { readonly model: Model; readonly more?: readonly unknown[] },
    ...privileges: readonly Privilege[]
  ): NeededTable => ({
    feature,
    model: map.model,
    privileges,
    fields: new Set(Object.values<unknown>(map).flat().filter(isField)),
  })
}

function isField(value: unknown): value is Field {
  return typeof value === 'object' && value !== null && 'column' in value && 'nativeType' in value
}

/** The keys of the schema by which `createIdempotent` can be called. */
function keysOf(model: Model, known: readonly NeededKey[]): CostlyKey[] {
  return model.keys
    .map(({ fields }) => ({ model, fields: fields.flatMap((name) => model.fields.get(name) ?? []) }))
    .filter((key) => !known.some((one) => isSame(one, key)))
    .map((key) => ({
      ...key,
      cost: 'createIdempotent refuses this key, and every other insert writes its duplicates: a payment that is sent again is there twice',
    }))
}

function isSame(one: NeededKey, other: NeededKey): boolean {
  const names = other.fields.map(({ name }) => name)
  const isOfBoth = one.fields.length === names.length && one.fields.every(({ name }) => names.includes(name))
  return one.model.name === other.model.name && isOfBoth
}
