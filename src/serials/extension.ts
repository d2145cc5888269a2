import { Prisma } from '@prisma/client/extension'
import { withConcurrency } from '../mapping/client.js'
import { checkModels } from '../mapping/kept-models.js'
import type { ClientExtension } from '../mapping/types.js'
import { namespace } from '../prisma/bound.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { readDataModel } from '../prisma/data-model.js'
import { noteLayer } from '../prisma/layers.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import { withModelErrors } from '../prisma/model-error.js'
import { Catalogue } from '../sql/catalogue.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import type { NewSerial, SerialData, SerialOf, SerialWhere } from './client-types.js'
import { mapSerials } from './mapping.js'
import { SerialsMethods } from './methods.js'
import { checkSerialsOptions, type SerialsOptions } from './options.js'
import type { Serials } from './types.js'

/** What `serials()` adds to a client of type C. */
export type SerialsExtension<C, O> = ClientExtension<
  '$serials',
  Serials<SerialOf<C, O>, SerialWhere<C, O>, SerialData<C, O>, NewSerial<C, O>>
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
  const given = checkSerialsOptions(options ?? {})
  const extension = Prisma.defineExtension((client) => {
    const own = withConcurrency(client as unknown as PrismaClientLike, 'serials')
    const map = mapSerials(readDataModel(own), given)
    const models = [map.serial.model.name, map.allocation.model.name]
    checkModels(own, 'serials', models)
    const methods = new SerialsMethods(map, given.retry, new Catalogue())
    const told = <R>(work: Promise<R>) => withModelErrors(work, map.serial.model.name)
    const call =
      <R>(name: string, run: (given: unknown) => Promise<R>) =>
      (args: unknown) =>
        lazyPromise(
          `$serials.${name}`,
          () => argumentsOf(args),
          (given) => told(run(given)),
        )
    const make = (at: PrismaClientLike) => ({
      allocate: call('allocate', (given) => methods.allocate(at, given)),
      release: call('release', (given) => methods.release(at, given)),
      import: call('import', (given) => methods.import(at, given)),
      free: (where: unknown) =>
        lazyPromise(
          '$serials.free',
          () => snapshot(where, 'where', 'where'),
          (given) => told(methods.free(at, given)),
        ),
    })
    return client.$extends({
      name: 'prisma-extension-concurrency/serials',
      ...noteLayer({ name: 'serials', models }),
      client: namespace(own, '$serials', make),
    })
  })
  return extension as unknown as (client: C) => SerialsExtension<C, O>
}
