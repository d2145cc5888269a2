import { clientOf, featureExtension, retryingRoot, withConcurrency } from '../mapping/extension.js'
import { isFilledIn } from '../mapping/mapping.js'
import type { ClientExtension, ScopeOf } from '../mapping/types.js'
import { foreignInRecords } from '../prisma/foreign.js'
import { insertOne, readAll } from '../prisma/whole-records.js'
import { rawReadable } from '../sql/raw-record.js'
import type { CounterOf, DocumentsOf } from './client-types.js'
import type { DocumentEngine } from './document-creator.js'
import { mapSeries } from './mapping.js'
import { SeriesFeature } from './methods.js'
import { checkSeriesOptions, type NumbersOnly, type SeriesOptions } from './options.js'
import type { NumberSeries, SeriesOf } from './types.js'

/**
 * The extension for number series, on top of `concurrency()`. Without options it uses the models
 * that `seriesSchema()` prints.
 *
 * @throws ConfigurationError if the options are no options, and when the client is extended, if they do not
 *   fit its schema
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(
 *   series({ series: { invoice: { format: 'INV-{yyyy}-{000000}' }, ticket: { blocks: 100 } } }),
 * )
 */
export function series<const O extends NumbersOnly>(
  options?: O,
): (client: object) => ClientExtension<'$series', NumberSeries<O, Record<never, never>>>
// Apart, for to infer the client costs the compiler much, and is more than it can do for a client of many models.
export function series<const O extends SeriesOptions, C extends object>(
  options: O,
): (client: C) => ClientExtension<'$series', SeriesOf<O, DocumentsOf<C, O>, ScopeOf<C, CounterOf<O>, O>>>
export function series<C>(
  options?: SeriesOptions,
): (client: C) => ClientExtension<'$series', NumberSeries<SeriesOptions>> {
  const given = checkSeriesOptions(options ?? {})
  return featureExtension('series', (models, rootFor) => {
    const map = mapSeries(models, given)
    return { feature: new SeriesFeature(map, rootFor(map.number.model.name), prismaDocuments, given) }
  })
}

/** The calls of Prisma that the statement for a number and its document stands for. */
const CALLS = ['create', 'createMany', 'createManyAndReturn', 'findMany'] as const

/** Documents by Prisma's own calls, with the hooks of all extensions of the caller's client. */
const prismaDocuments: DocumentEngine = {
  judges: true,
  readable(session, model, given) {
    const isComplete = [...model.fields.values()].every((field) => given.includes(field) || isFilledIn(field))
    const isPlain = isComplete && foreignInRecords(clientOf(session), model.name, CALLS) === undefined
    return isPlain ? rawReadable(model) : undefined
  },
  rootOf: (session, { name }) => retryingRoot(withConcurrency(clientOf(session), 'series'), name),
  async find(tx, { model }, key) {
    const [found] = await readAll(clientOf(tx), model, { where: { ...key } })
    return found
  },
  insert: (tx, { model }, row) => insertOne(clientOf(tx), model, row),
}
