import { setupOf } from '../engine/setup.js'
import { ConfigurationError } from '../errors/index.js'
import { soleWriter } from '../mapping/extension.js'
import { sessionOf } from '../prisma/client-session.js'
import { readDataModel } from '../prisma/data-model.js'
import {
  clientContext,
  type Extension,
  extensionOf,
  type Implementation,
  type Members,
  type Nothing,
} from '../prisma/extension.js'
import { eventsOn, noteLayer } from '../prisma/layers.js'
import { mapLeases } from './mapping.js'
import { LeaseMethods } from './methods.js'
import { checkLeasesOptions, type LeasesOptions } from './options.js'
import type { LeaseClientMethods } from './types.js'

/** The members that `leases()` adds to a client. */
export type LeasesExtension = Extension<Nothing, Members<LeaseClientMethods>>

/**
 * The extension for leases: `db.$withLease`, and `tx.$assertLease` in a transaction, on a model of yours. Apply it after
 * `concurrency()`. Without options it uses the model that `leaseSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(leases())
 * await db.$withLease('search-index', { ttl: 30_000 }, (lease) => rebuild(lease))
 */
export function leases(options: LeasesOptions = {}): (client: object) => LeasesExtension {
  const given = checkLeasesOptions(options)
  return extensionOf((below) => {
    // Its calls are statements of their own, so they need of concurrency() only that it watches the transactions.
    if (setupOf(below) === undefined) {
      const message =
        'leases() builds on concurrency(): apply that first, base.$extends(concurrency()).$extends(leases())'
      throw new ConfigurationError([{ path: '', message }])
    }
    const map = mapLeases(readDataModel(below), given)
    const { note, query } = soleWriter(below, '$withLease', [map.model])
    return below.$extends({
      name: 'prisma-extension-concurrency/leases',
      ...noteLayer({ name: 'leases', ...note, map }),
      client: leaseClientMethods(new LeaseMethods(map, eventsOn(below))),
      query,
    })
  })
}

/** The methods as they are run. */
function leaseClientMethods(methods: LeaseMethods): Implementation<LeaseClientMethods> {
  return {
    $withLease(name, options, body) {
      return methods.hold(sessionOf(clientContext(this)), name, options, body)
    },
    $assertLease(lease, options) {
      return methods.assert(sessionOf(clientContext(this)), lease, options)
    },
  }
}
