/** The servers beside PostgreSQL: those that the chosen contenders need are started, and all of them ended. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Environment, ServerName } from '../contender.js'
import { processesCpuClock } from '../runner/cpu.js'
import { ETCD } from './etcd.js'
import { startProcessGuard } from './guard.js'
import { REDIS, THREE_REDIS } from './redis.js'
import { REST } from './rest.js'
import type { Metered, RunningServer, ServerContext, SideServer } from './server.js'
import { ZOOKEEPER } from './zookeeper.js'

/** Servers that import packages of the bench are started by the name of their file, which lies in a folder of its own. */
const ALL: readonly SideServer[] = [REDIS, THREE_REDIS, ETCD, ZOOKEEPER, REST]

export class SideServers {
  readonly #folder: string
  readonly #guard: ReturnType<typeof startProcessGuard>
  readonly #running = new Map<ServerName, RunningServer>()
  readonly #broken = new Map<ServerName, string>()

  /** @param folder a temporary one, which is removed with the bench, however that ends */
  constructor(folder: string) {
    this.#folder = folder
    this.#guard = startProcessGuard(folder)
  }

  /** Starts those of the servers that can be started here. Never rejects because of one of them. */
  async start(names: Iterable<ServerName>, context: ServerContext): Promise<void> {
    for (const name of new Set(names)) {
      const server = find(name)
      if (server.whyMissing() !== undefined) continue
      const folder = join(this.#folder, name.replaceAll(' ', '-'))
      await mkdir(folder, { recursive: true })
      try {
        this.#running.set(name, await server.start(folder, this.#guard.watch, context))
      } catch (error) {
        this.#broken.set(name, `${name} did not start: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }

  /** Why a server does not run; undefined if it does, or, before `start`, if it could. */
  readonly whyMissing = (name: ServerName): string | undefined => {
    return find(name).whyMissing() ?? this.#broken.get(name)
  }

  get urls(): Environment['servers'] {
    return Object.fromEntries(Array.from(this.#running, ([name, { urls }]) => [name, urls]))
  }

  /** The cost of the server so far; 0 for a contender without one. */
  async meter(name: ServerName | undefined): Promise<Metered> {
    const server = name && this.#running.get(name)
    if (!server) return { cpu: 0, statements: 0, transactions: 0 }
    const statements = (await server.state?.statements()) ?? 0
    return { cpu: await processesCpuClock(server.pids)(), statements, transactions: statements }
  }

  /** The database in which the server keeps its state, if it does so in PostgreSQL. */
  databaseOf(name: ServerName | undefined): string | undefined {
    return name && this.#running.get(name)?.state?.database
  }

  async stop(): Promise<void> {
    await Promise.allSettled(Array.from(this.#running.values(), (server) => server.stop()))
    await this.#guard.clearUp()
  }
}

function find(name: ServerName): SideServer {
  return ALL.find((server) => server.name === name) as SideServer
}
