import type { RootSession } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import { withConcurrency } from '../mapping/extension.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { rootSession, sessionOf } from '../prisma/client-session.js'
import {
  clientContext,
  type Extension,
  extensionOf,
  type Implementation,
  type Members,
  type Nothing,
} from '../prisma/extension.js'
import { eventsOn } from '../prisma/layers.js'
import type { TransactionClient } from '../prisma/types.js'
import { ReplicaCalls } from './methods.js'
import { checkReplicasOptions, type ReplicasOptions } from './options.js'
import type { ReplicaMethods } from './types.js'

/** The members that `replicas()` adds to a client. */
export type ReplicasExtension<Reader> = Extension<Nothing, Members<ReplicaMethods<Reader>>>

/**
 * The extension for reads from replicas that see your own writes: `db.$at` and `db.$after`. Apply it after `concurrency()`,
 * on the client of the primary. The replicas are those of PostgreSQL's own streaming replication.
 *
 * The user of the replicas' clients must be allowed to see their timeline: `GRANT pg_read_all_stats TO app`.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const replica = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.REPLICA_URL }) })
 * const db = base.$extends(concurrency()).$extends(replicas({ clients: [replica] }))
 */
export function replicas<Replica extends object>(
  options: ReplicasOptions<Replica>,
): (client: object) => ReplicasExtension<TransactionClient<Replica>> {
  const given = checkReplicasOptions(options)
  return extensionOf((client) => {
    const below = withConcurrency(client, 'replicas')
    return below.$extends({
      name: 'prisma-extension-concurrency/replicas',
      client: replicaMethods(new ReplicaCalls(given, sessionOn, eventsOn(below))),
    })
  })
}

function sessionOn(client: object): RootSession {
  if (isPrismaClient(client)) return rootSession(client)
  throw new ConfigurationError([{ path: 'clients', message: 'must be Prisma clients' }])
}

function isPrismaClient(client: object): client is PrismaClientLike {
  return '$queryRawUnsafe' in client && '$transaction' in client
}

/** The methods as they are run. */
function replicaMethods(calls: ReplicaCalls): Implementation<ReplicaMethods<object>> {
  return {
    $at() {
      return calls.at(sessionOf(clientContext(this)))
    },
    $after(at: unknown, body: unknown, options?: unknown) {
      return calls.after(sessionOf(clientContext(this)), { at, body, options })
    },
  }
}
