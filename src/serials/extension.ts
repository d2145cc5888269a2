import type { Session } from '../engine/session.js'
import { clientOf, featureExtension } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import { readAll } from '../prisma/whole-records.js'
import { toRecord } from '../sql/raw-record.js'
import { DEFAULT_MAX_WAITING } from '../sync/batcher.js'
import type {
  NewSerial,
  ReleasedData,
  SerialChange,
  SerialData,
  SerialKey,
  SerialOf,
  SerialScope,
  SerialWhere,
} from './client-types.js'
import { mapSerials, ownerFields } from './mapping.js'
import { SerialsFeature } from './methods.js'
import { checkSerialsOptions, type SerialsOptions } from './options.js'
import { Runner } from './run.js'
import type { Owner } from './statements.js'
import type { ScopedSerials, Serials, WithHistory } from './types.js'

/** The members that `serials()` adds to a client of type C. */
export type SerialsExtension<C, O> = ClientExtension<
  '$serials',
  ScopedSerials<
    WithHistory<
      Serials<SerialOf<C, O>, SerialWhere<C, O>, SerialData<C, O>, NewSerial<C, O>, ReleasedData<C, O>>,
      SerialKey<C, O>,
      SerialChange<C, O>
    >,
    SerialScope<C, O>
  >
>

/**
 * The extension for serial numbers: `db.$serials`, on models of yours. Apply it after
 * `concurrency()`. Without options it uses the models that `serialsSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(serials())
 * const { serials: taken } = await db.$serials.allocate({ transactionId, where: { productId: 7 }, count: 3 })
 */
export function serials<const O extends SerialsOptions, C extends object = object>(
  options?: O,
): (client: C) => SerialsExtension<C, O> {
  const { maxWaiting = DEFAULT_MAX_WAITING, ...given } = checkSerialsOptions(options ?? {})
  return featureExtension('serials', (models, rootFor) => {
    const map = mapSerials(models, given)
    const { model, key } = map.serial
    const orderBy = key.map(({ name }) => ({ [name]: 'asc' }))
    const readSerials = (session: Session, { scope, transactionId }: Owner) => {
      const fields = ownerFields(map.serial)
      const values = Object.fromEntries(fields.map(({ name }, i) => [name, [...scope, transactionId][i]]))
      return readAll(clientOf(session), model, { where: toRecord(values, fields), orderBy })
    }
    const runner = new Runner(rootFor(model.name), given.retry)
    return { feature: new SerialsFeature(map, runner, maxWaiting, readSerials) }
  })
}
