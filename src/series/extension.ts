import { featureExtension } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import type { DocumentsOf } from './client-types.js'
import { mapSeries } from './mapping.js'
import { SeriesFeature } from './methods.js'
import { checkSeriesOptions, type NumbersOnly, type SeriesOptions } from './options.js'
import { prismaDocuments } from './prisma-documents.js'
import type { NumberSeries } from './types.js'

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
): (client: C) => ClientExtension<'$series', NumberSeries<O, DocumentsOf<C, O>>>
export function series<C>(
  options?: SeriesOptions,
): (client: C) => ClientExtension<'$series', NumberSeries<SeriesOptions>> {
  const given = checkSeriesOptions(options ?? {})
  return featureExtension('series', (models, rootFor) => {
    const map = mapSeries(models, given)
    return { feature: new SeriesFeature(map, rootFor(map.number.model.name), prismaDocuments, given) }
  })
}
