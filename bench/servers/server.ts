/** What every server beside PostgreSQL is to the bench: it starts on a free port, and ends with the bench. */
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

export interface RunningServer {
  /** More than one where the contender talks to several. */
  readonly urls: readonly string[]
  stop(): Promise<void>
}
