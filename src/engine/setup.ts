import type { DataModel } from './data-model.js'
import type { RootSession } from './session.js'

/**
 * The method by which a client, of any engine, tells the package's own checks and commands what it is set up for. It is
 * not public. A text, since Prisma passes no symbols on.
 */
export const SETUP = '$prismaExtensionConcurrency'

/** The settings of a client, and the models that they are about. */
export interface ClientSetup {
  /** The root session. */
  readonly session: RootSession
  readonly dataModel: DataModel
  /** The options of `concurrency()`. */
  readonly options: SetupOptions
  readonly features: readonly FeatureSetup[]
  /** How many connections it has; `undefined` where that is not known. */
  readonly connections: number | undefined
  /** Whether its adapter prepares its statements by names. */
  readonly namesStatements: boolean
  /** Loads the printer of the Prisma schema that the models are of; `undefined` where they are of the database. */
  readonly schemaSql?: (() => Promise<SchemaSql>) | undefined
}

/**
 * The SQL of a part of the schema that the database does not have, as Prisma's own migration makes it; `undefined` where
 * it is not known how that would.
 */
export interface SchemaSql {
  table(model: string): string | undefined
  column(model: string, field: string): string | undefined
  /** Of the field that has the relation. There is none where Prisma enforces it, and not the database. */
  foreignKey(model: string, relation: string): string | undefined
}

/** Those of the options that say what the database must have, and the retry policy, with which features begin. */
export interface SetupOptions {
  readonly retry?:
    | {
        readonly attempts?: number | undefined
        readonly baseDelay?: number | undefined
        readonly maxDelay?: number | undefined
        readonly deadline?: number | undefined
        readonly retryOn?: ((error: unknown) => boolean) | undefined
      }
    | undefined
  readonly idempotency?:
    | {
        readonly model?: string
        readonly fingerprint?: string
        readonly models?: Readonly<Record<string, { readonly fingerprint?: string | false }>>
      }
    | undefined
  readonly lock?: { readonly maxWaiting?: number } | undefined
  readonly version?:
    | {
        readonly bumpPlainWrites?: boolean
        readonly models?: Readonly<Record<string, { readonly bumpPlainWrites?: boolean } | false>>
      }
    | undefined
}

/** A feature with tables on the client. */
export interface FeatureSetup {
  readonly name: 'inbox' | 'jobs' | 'leases' | 'outbox' | 'stock' | 'serials' | 'series' | 'steps'
  /** The models and fields that its options name, found and checked: such as its `StockMap`. */
  readonly map: object
}

/** The setup that the client tells; `undefined` for a client without `concurrency()`. */
export function setupOf(client: unknown): ClientSetup | undefined {
  const isClient = typeof client === 'object' && client !== null && SETUP in client
  return isClient && typeof client[SETUP] === 'function' ? client[SETUP]() : undefined
}
