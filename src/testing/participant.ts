import type { BodyName } from './broken-order.js'
import { openProxy, type Passage, type ProxiedConnection, type WireProxy } from './proxy.js'

/** Statements that no other session can notice: an order with the other body between them and the next one is no other. */
const UNNOTICED = /^\s*(?:BEGIN|START TRANSACTION|SET|SHOW|SAVEPOINT)\b[^;]*;?\s*$/i

/**
 * - `busy`: it is not known yet what comes next: the server, or the body, is at work;
 * - `ready`: its next statement waits in the proxy;
 * - `blocked`: its statement waits in the server for a lock;
 * - `ended`.
 */
export type ParticipantState = 'busy' | 'ready' | 'blocked' | 'ended'

/** Is told about a participant. */
export interface ParticipantWatcher {
  /** A statement goes to the server. */
  sent(name: BodyName, statement: string): void
  /** Something has happened, so that the state may be another one. */
  changed(): void
}

/** One of the two: a client behind a proxy that lets one statement through at a time, and the body that runs on it. */
export class Participant<C> {
  readonly name: BodyName
  /** How many statements it has sent, in all orders. */
  statements = 0
  /** Whether its statements pass without being asked for. */
  isFree = true
  readonly #watcher: ParticipantWatcher
  readonly #held: { readonly connection: ProxiedConnection; readonly pass: () => void }[] = []
  /** The connections that have sent a statement that is not answered. */
  readonly #underWay = new Set<ProxiedConnection>()
  readonly #blocked = new Set<ProxiedConnection>()
  #isRunning = false
  #proxy: WireProxy | undefined
  #client: { readonly client: C } | undefined

  constructor(name: BodyName, watcher: ParticipantWatcher) {
    this.name = name
    this.#watcher = watcher
  }

  async open(url: string, connect: (url: string) => C | PromiseLike<C>): Promise<void> {
    this.#proxy = await openProxy(url, {
      statement: (sql, connection) => this.#come(sql, connection),
      answered: (connection) => this.#settled(connection),
      closed: (connection) => this.#settled(connection),
    })
    this.#client = { client: await connect(this.#proxy.url) }
  }

  async close(disconnect: (client: C) => unknown): Promise<void> {
    this.letGo()
    // A body that has not come to its end may keep a client from closing.
    if (this.#isRunning) this.#proxy?.cutAll()
    if (this.#client) await disconnect(this.#client.client)
    await this.#proxy?.close()
  }

  /** Runs the body to its end, and gives what became of it. */
  async run<R>(body: (client: C) => PromiseLike<R>): Promise<PromiseSettledResult<R>> {
    if (!this.#client) throw new Error('The participant is not open.')
    this.#isRunning = true
    const [result] = await Promise.allSettled([Promise.resolve(this.#client.client).then(body)])
    this.#isRunning = false
    this.#watcher.changed()
    return result
  }

  get state(): ParticipantState {
    for (const connection of this.#underWay) {
      // A driver may send several statements before it asks for their answers.
      const isHeld = connection.unanswered === 0 && this.#held.some((held) => held.connection === connection)
      if (!isHeld && !this.#blocked.has(connection)) return 'busy'
    }
    if (this.#held.length > 0) return 'ready'
    if (this.#blocked.size > 0) return 'blocked'
    return this.#isRunning ? 'busy' : 'ended'
  }

  /** The sessions whose statement is under way, by their process ids. */
  get sessions(): number[] {
    return Array.from(this.#underWay, ({ pid = 0 }) => pid)
  }

  /** Notes which of its sessions wait for a lock. */
  note(blocked: readonly number[]): void {
    this.#blocked.clear()
    for (const connection of this.#underWay) if (blocked.includes(connection.pid ?? 0)) this.#blocked.add(connection)
  }

  /** Whether a statement of it was found to wait for a lock. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0
  }

  /** Lets its next statement through. */
  pass(): void {
    this.#held.shift()?.pass()
  }

  /** Lets all of its statements through, now and later. */
  letGo(): void {
    this.isFree = true
    for (const { pass } of this.#held.splice(0)) pass()
  }

  async #come(statement: string, connection: ProxiedConnection): Promise<Passage> {
    if (!this.isFree && !UNNOTICED.test(statement)) {
      await new Promise<void>((resolve) => {
        this.#held.push({ connection, pass: resolve })
        this.#watcher.changed()
      })
    }
    this.statements++
    this.#underWay.add(connection)
    this.#watcher.sent(this.name, statement)
    return 'pass'
  }

  #settled(connection: ProxiedConnection): void {
    if (connection.unanswered === 0) this.#underWay.delete(connection)
    this.#blocked.delete(connection)
    this.#watcher.changed()
  }
}
