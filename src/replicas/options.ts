import { ConfigurationError } from '../errors/index.js'
import * as s from '../values/schema.js'
import { checkConfiguration } from '../values/validation.js'

/** The clients of the replicas. */
export interface ReplicasOptions<Replica extends object = object> {
  /**
   * A client for each replica, or one whose address leads to several of them. Calls of `$after` take turns. The body is
   * given the `tx` of such a client, or one of the client that `$after` was called on, so extend both alike.
   */
  readonly clients: readonly Replica[]
  /** How long `$after` waits for a replica that is behind, in ms, before it reads on the primary. Default 100. */
  readonly wait?: number
}

/** The same, with what was left out. */
export interface CheckedReplicas {
  readonly clients: readonly object[]
  readonly wait: number
}

export const waitSchema = s
  .number('must be a number of ms')
  .check(s.gte(0, 'must not be negative'), s.lte(60_000, 'must be at most 60000 ms'))

const DEFAULT_WAIT = 100

/** Checks the options' own form. The clients are not copied. */
export function checkReplicasOptions({ clients, ...options }: ReplicasOptions): CheckedReplicas {
  const { wait = DEFAULT_WAIT } = checkConfiguration<Omit<ReplicasOptions, 'clients'>>(
    s.strictObject({ wait: s.optional(waitSchema) }),
    options,
  )
  const areClients =
    Array.isArray(clients) && clients.length > 0 && clients.every((one) => typeof one === 'object' && one !== null)
  if (!areClients) {
    throw new ConfigurationError([{ path: 'clients', message: 'must be a list of clients, one at least' }])
  }
  return { clients: [...clients], wait }
}
