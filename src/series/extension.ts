import { featureExtension } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import { mapSeries } from './mapping.js'
import { SeriesFeature } from './methods.js'
import { checkSeriesOptions, type SeriesOptions } from './options.js'
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
export function series<const O extends SeriesOptions>(
  options?: O,
): (client: object) => ClientExtension<'$series', NumberSeries<O>> {
  const given = checkSeriesOptions(options ?? {})
  return featureExtension('series', (models, rootFor) => {
    const map = mapSeries(models, given)
    return { feature: new SeriesFeature(map, rootFor(map.number.model.name)) }
  })
}
