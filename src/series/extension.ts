import { featureExtension } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import type { DocumentsOf } from './client-types.js'
import { mapSeries } from './mapping.js'
import { SeriesFeature } from './methods.js'
import { checkSeriesOptions, type SeriesOptions } from './options.js'
import { prismaDocuments } from './prisma-documents.js'
import type { NumberSeries } from './types.js'

/** The members that `series()` adds to a client of type C. */
export type SeriesExtension<C, O> = ClientExtension<'$series', NumberSeries<O, DocumentsOf<C, O>>>

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
export function series<const O extends SeriesOptions, C extends object = object>(
  options?: O,
): (client: C) => SeriesExtension<C, O> {
  const given = checkSeriesOptions(options ?? {})
  return featureExtension('series', (models, rootFor) => {
    const map = mapSeries(models, given)
    return { feature: new SeriesFeature(map, rootFor(map.number.model.name), prismaDocuments, given) }
  })
}
