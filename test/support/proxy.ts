import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { gate } from './gate.js'

/**
 * The fate of a statement on its way to the server:
 * - `cut`: the connection breaks before the server has seen it;
 * - `drop`: the server carries it out, and the connection breaks instead of the answer coming back;
 * - `abandon`: it is passed on, and the connection to the client breaks at once, without waiting for the server;
 * - `hold`: it waits in the proxy until `release` is called;
 * - `late`: the connection to the client breaks at once, and the server gets it when `release` is called.
 */
export type Fate = 'cut' | 'drop' | 'abandon' | 'hold' | 'late'

export interface Interception {
  /** Settles when it has happened: cut, answered and dropped, abandoned, or held. */
  readonly happened: Promise<void>
  /** Lets a held statement go on to the server. */
  release(): void
}

export interface PostgresProxy {
  readonly url: string
  /** Every statement that came, in the order of coming, also those that were cut. */
  readonly statements: readonly string[]
  /** The next statement that matches has this fate; those after it pass. Calls add up, first come, first served. */
  next(statement: RegExp, fate: Fate): Interception
  /** Breaks all connections, and refuses new ones until `accept`. */
  refuse(): void
  accept(): void
  /** How many connections were refused. */
  refusals(): number
}

interface Rule extends Interception {
  readonly statement: RegExp
  readonly fate: Fate
  readonly released: Promise<void>
  happen(): void
}

/** A TCP proxy in front of the server that knows which statement is passing, closed when the test ends. */
export async function openProxy(target: string): Promise<PostgresProxy> {
  const { hostname, port } = new URL(target)
  const statements: string[] = []
  const rules: Rule[] = []
  const sockets = new Set<Socket>()
  let isRefusing = false
  let refusals = 0

  const ruleFor = (statement: string) => {
    statements.push(statement)
    const index = rules.findIndex((rule) => rule.statement.test(statement))
    return index === -1 ? undefined : rules.splice(index, 1)[0]
  }
  const server = createServer((client) => {
    if (isRefusing) {
      refusals++
      client.on('error', () => {})
      client.destroy()
      return
    }
    const backend = connect(Number(port), hostname)
    for (const socket of [client, backend]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    relay(client, backend, ruleFor)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const breakAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(() => {
    breakAll()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  })

  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    statements,
    next(statement, fate) {
      const happening = gate()
      const releasing = gate()
      const interception = { happened: happening.opened, release: releasing.open }
      onTestFinished(releasing.open) // statements that wait for it must be able to end
      rules.push({ ...interception, statement, fate, released: releasing.opened, happen: happening.open })
      return interception
    },
    refuse() {
      isRefusing = true
      breakAll()
    },
    accept() {
      isRefusing = false
    },
    refusals: () => refusals,
  }
}

function relay(client: Socket, backend: Socket, ruleFor: (statement: string) => Rule | undefined): void {
  const prepared = new Map<string, string>()
  let isStarted = false
  let underWay = false
  let dropping: Rule | undefined
  let isDeaf = false

  const fromClient = messageReader({ firstHasType: false })
  const fromServer = messageReader({ firstHasType: true })

  const apply = async (rule: Rule): Promise<boolean> => {
    if (rule.fate === 'drop') dropping = rule
    if (rule.fate === 'cut') {
      client.destroy()
      backend.destroy()
    }
    if (rule.fate === 'abandon' || rule.fate === 'late') isDeaf = true
    if (rule.fate === 'late') client.destroy()
    if (rule.fate !== 'drop') rule.happen()
    if (rule.fate === 'hold' || rule.fate === 'late') await rule.released
    return rule.fate !== 'cut'
  }

  // Messages are passed on one after the other, also while one of them is held.
  let order = Promise.resolve()
  client.on('data', (bytes) => {
    for (const message of fromClient(bytes)) order = order.then(() => pass(message))
  })
  client.on('end', () => {
    order = order.then(() => void backend.end())
  })

  async function pass(message: Buffer): Promise<void> {
    const statement = isStarted ? statementOf(message, prepared, underWay) : undefined
    isStarted = true
    if (statement !== undefined) {
      underWay = true
      const rule = ruleFor(statement)
      if (rule && !(await apply(rule))) return
    }
    const isLast = message[0] === QUERY || message[0] === SYNC
    if (isLast) underWay = false
    if (!backend.destroyed) backend.write(message)
    if (isLast && isDeaf) client.destroy()
  }

  backend.on('data', (bytes) => {
    if (dropping === undefined && !isDeaf) {
      client.write(bytes)
      return
    }
    for (const message of fromServer(bytes)) {
      if (message[0] !== READY_FOR_QUERY) continue
      client.destroy()
      backend.destroy()
      dropping?.happen()
    }
  })
  backend.on('close', () => client.destroy())
  client.on('close', () => {
    if (!isDeaf) backend.destroy()
  })
}

// PostgreSQL manual, "55.7. Message Formats".
const QUERY = 'Q'.charCodeAt(0)
const PARSE = 'P'.charCodeAt(0)
const BIND = 'B'.charCodeAt(0)
const SYNC = 'S'.charCodeAt(0)
const READY_FOR_QUERY = 'Z'.charCodeAt(0)

/** The statement that a message begins, if it begins one: a Query, a Parse, or a Bind of what was parsed before. */
function statementOf(message: Buffer, prepared: Map<string, string>, underWay: boolean): string | undefined {
  if (message[0] === QUERY) return text(message, 5)
  if (message[0] === PARSE) {
    const name = text(message, 5)
    const statement = text(message, 5 + Buffer.byteLength(name) + 1)
    prepared.set(name, statement)
    return statement
  }
  if (message[0] === BIND && !underWay) {
    const portal = text(message, 5)
    return prepared.get(text(message, 5 + Buffer.byteLength(portal) + 1))
  }
  return undefined
}

function text(message: Buffer, start: number): string {
  return message.toString('utf8', start, message.indexOf(0, start))
}

/** Cuts a stream into whole messages. The first one of a client has no type byte before its length. */
function messageReader({ firstHasType }: { firstHasType: boolean }) {
  let rest: Buffer = Buffer.alloc(0)
  let typeLength = firstHasType ? 1 : 0
  return (bytes: Buffer): Buffer[] => {
    rest = Buffer.concat([rest, bytes])
    const messages: Buffer[] = []
    for (;;) {
      if (rest.length < typeLength + 4) return messages
      const length = typeLength + rest.readInt32BE(typeLength)
      if (rest.length < length) return messages
      messages.push(rest.subarray(0, length))
      rest = rest.subarray(length)
      typeLength = 1
    }
  }
}
