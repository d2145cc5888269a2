import { connect, createServer, type Socket } from 'node:net'
import { asksForEncryption, isReady, MessageReader, pidIn, StatementReader } from './wire.js'

/** How a statement goes on: to the server, nowhere, or to the server while the client's end breaks at once. */
export type Passage = 'pass' | 'stop' | 'abandon'

/** Is told about the connections of a proxy, and asked. */
export interface ProxyWatcher {
  /** Whether a new connection is accepted. */
  accepts?(): boolean
  /** A statement that came. It goes on when this is settled, and what the client sends behind it waits as well. */
  statement(sql: string, connection: ProxiedConnection): Passage | Promise<Passage>
  /** The server has answered all that was sent, or all of one of several things that were sent. */
  answered?(connection: ProxiedConnection): void
  closed?(connection: ProxiedConnection): void
}

/** One connection of a client, and the one to the server that belongs to it. */
export class ProxiedConnection {
  /** The process id of the session, as soon as it is known. */
  pid: number | undefined
  /** How many answers of the server are still to come. */
  unanswered = 0
  /** Whether nothing comes back to the client any more. Both ends break when the server has answered. */
  #isDeaf = false
  /** Whether the client's end breaks, or is broken, before that. */
  #isAbandoned = false
  readonly #client: Socket
  readonly #server: Socket
  readonly #watcher: ProxyWatcher

  constructor(client: Socket, server: Socket, watcher: ProxyWatcher) {
    this.#client = client
    this.#server = server
    this.#watcher = watcher
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
    }
    this.#relayRequests()
    this.#relayAnswers()
    server.on('close', () => {
      client.destroy()
      this.unanswered = 0
      watcher.closed?.(this)
    })
    client.on('close', () => {
      if (!this.#isAbandoned) server.destroy()
    })
  }

  /** Breaks both ends. */
  cut(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  /** Breaks the client's end, and leaves the other one until the server has answered. */
  hangUp(): void {
    this.#isDeaf = this.#isAbandoned = true
    this.#client.destroy()
  }

  /** Breaks both ends when the server has answered, instead of passing the answer on. */
  dropAnswer(): void {
    this.#isDeaf = true
  }

  #relayRequests(): void {
    const messages = new MessageReader({ firstHasType: false })
    const statements = new StatementReader()
    const pass = async (message: Buffer): Promise<void> => {
      if (asksForEncryption(message)) {
        this.#client.write('N') // what is encrypted cannot be read
        return
      }
      const { statement, isLast } = statements.read(message)
      const passage = statement === undefined ? 'pass' : await this.#watcher.statement(statement, this)
      if (passage === 'stop') return
      if (passage === 'abandon') this.#isDeaf = this.#isAbandoned = true
      if (!this.#server.destroyed) this.#server.write(message)
      if (isLast) this.unanswered++
      if (isLast && this.#isAbandoned) this.#client.destroy()
    }
    // Messages are passed on one after the other, also while one of them is held.
    let order = Promise.resolve()
    this.#client.on('data', (bytes) => {
      for (const message of messages.read(bytes)) order = order.then(() => pass(message))
    })
    this.#client.on('end', () => {
      order = order.then(() => void this.#server.end())
    })
  }

  #relayAnswers(): void {
    const messages = new MessageReader({ firstHasType: true })
    this.#server.on('data', (bytes) => {
      if (!this.#isDeaf) this.#client.write(bytes)
      for (const message of messages.read(bytes)) {
        this.pid ??= pidIn(message)
        if (!isReady(message)) continue
        this.unanswered = Math.max(0, this.unanswered - 1)
        if (this.#isDeaf) this.cut()
        this.#watcher.answered?.(this)
      }
    })
  }
}

export interface WireProxy {
  /** The URL of the database, through the proxy. */
  readonly url: string
  /** Breaks all connections. */
  cutAll(): void
  close(): Promise<void>
}

/** A TCP proxy in front of the server, which reads the statements that pass. */
export async function openProxy(target: string, watcher: ProxyWatcher): Promise<WireProxy> {
  const { hostname, port } = new URL(target)
  const connections = new Set<ProxiedConnection>()
  const server = createServer((client) => {
    if (watcher.accepts?.() === false) {
      client.on('error', () => {})
      client.destroy()
      return
    }
    const backend = connect(Number(port || 5432), hostname.replace(/^\[(.*)\]$/, '$1'))
    const connection = new ProxiedConnection(client, backend, watcher)
    connections.add(connection)
    backend.on('close', () => connections.delete(connection))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(typeof address === 'object' ? address?.port : '')
  const cutAll = () => {
    for (const connection of connections) connection.cut()
  }
  return {
    url: url.href,
    cutAll,
    close() {
      cutAll()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
