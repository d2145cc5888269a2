import type { RootSession } from '../engine/session.js'
import { setupOf } from '../engine/setup.js'
import { ConfigurationError } from '../errors/index.js'
import { ReplicaCalls } from '../replicas/methods.js'
import { checkReplicasOptions, type ReplicasOptions } from '../replicas/options.js'
import type { ReplicaMethods } from '../replicas/types.js'
import type { PgExtension } from './extension.js'
import type { PgTransactionClient } from './methods.js'

/**
 * The extension for reads from replicas that see your own writes, `db.$at` and `db.$after`, as `replicas()` of
 * `prisma-extension-concurrency/work`. The clients are made by `concurrency(pool)`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const replica = await concurrency(new Pool({ connectionString: process.env.REPLICA_URL }))
 * const shop = db.$extends(replicas({ clients: [replica] }))
 */
export function replicas(options: ReplicasOptions): PgExtension<ReplicaMethods<PgTransactionClient>> {
  const given = checkReplicasOptions(options)
  return {
    apply(root) {
      const calls = new ReplicaCalls(given, sessionOn, root.events)
      return [
        { name: '$at', models: [], make: (session) => () => calls.at(session) },
        {
          name: '$after',
          models: [],
          make: (session) => (at: unknown, body: unknown, options?: unknown) =>
            calls.after(session, { at, body, options }),
        },
      ]
    },
  }
}

function sessionOn(client: object): RootSession {
  const setup = setupOf(client)
  if (setup) return setup.session
  throw new ConfigurationError([{ path: 'clients', message: 'must be clients that concurrency(pool) has made' }])
}
