/** A server beside PostgreSQL: it starts on a free port, and ends with the bench. */
import type { ServerName } from '../contender.js'

export interface SideServer {
  readonly name: ServerName
  /** Why it cannot be started here; undefined if it can. */
  whyMissing(): string | undefined
  /**
   * @param folder its own, empty, for its data; it is removed after the bench
   * @param watch is told of every process that was started, so that it ends with the bench, however that ends
   */
  start(folder: string, watch: (pid: number) => void, context: ServerContext): Promise<RunningServer>
}

export interface ServerContext {
  /** A maintenance database of PostgreSQL, for a service that keeps its state there. */
  readonly databaseUrl: string
}

/** The work of a server since it began. */
export interface Metered {
  /** CPU time in ms; `null` where that cannot be known. */
  readonly cpu: number | null
  /** Its statements to PostgreSQL. */
  readonly statements: number
  readonly transactions: number
}

export interface RunningServer {
  /** More than one where the contender talks to several. */
  readonly urls: readonly string[]
  readonly pids: readonly number[]
  /** For a service that keeps its state in PostgreSQL: in which database, and what it has said to it so far. */
  readonly state?: { readonly database: string; statements(): Promise<number> }
  stop(): Promise<void>
}
