import { gate } from './gate.js'
import { openProxy, type Passage, type ProxiedConnection } from './proxy.js'

/**
 * The fate of a statement on its way to the server:
 * - `cut`: the request is lost. The connection breaks before the server has seen it;
 * - `drop`: the answer is lost. The server carries it out, and the connection breaks instead of the answer coming back;
 * - `abandon`: it is passed on, and the connection to the client breaks at once, without waiting for the server;
 * - `hold`: it waits in the proxy until `release` is called;
 * - `late`: the connection to the client breaks at once, and the server gets it when `release` is called.
 */
export type Fate = 'cut' | 'drop' | 'abandon' | 'hold' | 'late'

/** The fate of one statement that is still to come. */
export interface Interception {
  /** Settles when it has happened: cut, answered and dropped, abandoned, or held. */
  readonly happened: Promise<void>
  /** Lets a held statement go on to the server. */
  release(): void
}

/** A proxy in front of the server that loses what it is told to lose. */
export interface CuttingProxy {
  /** The URL of the database, through the proxy. */
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
  /** Lets held statements go, breaks all connections, and ends. */
  close(): Promise<void>
}

interface Rule extends Interception {
  readonly statement: RegExp
  readonly fate: Fate
  readonly released: Promise<void>
  happen(): void
}

/**
 * Opens a TCP proxy in front of the server that knows which statement is passing, by any client. Connections through it
 * are not encrypted.
 *
 * @param target the URL of the database
 *
 * @example
 * const proxy = await cuttingProxy(url)
 * const adapter = new PrismaPg({ connectionString: proxy.url })
 * const db = new PrismaClient({ adapter }).$extends(concurrency())
 * proxy.next(/^COMMIT/, 'drop') // it is committed, and nobody is told
 * await db.$transactionWithRetry(async (tx) => tx.order.create({ data: body }))
 */
export async function cuttingProxy(target: string): Promise<CuttingProxy> {
  const statements: string[] = []
  const rules: Rule[] = []
  const made: Rule[] = []
  const dropping = new WeakMap<ProxiedConnection, Rule>()
  let isRefusing = false
  let refusals = 0
  const proxy = await openProxy(target, {
    accepts() {
      if (isRefusing) refusals++
      return !isRefusing
    },
    statement(sql, connection) {
      statements.push(sql)
      const index = rules.findIndex(({ statement }) => statement.test(sql))
      const [rule] = index === -1 ? [] : rules.splice(index, 1)
      if (rule?.fate === 'drop') dropping.set(connection, rule)
      return rule === undefined ? 'pass' : meet(rule, connection)
    },
    answered: (connection) => dropping.get(connection)?.happen(),
  })
  return {
    url: proxy.url,
    statements,
    next(statement, fate) {
      const [happening, releasing] = [gate(), gate()]
      const interception = { happened: happening.opened, release: releasing.open }
      const rule = { ...interception, statement, fate, released: releasing.opened, happen: happening.open }
      rules.push(rule)
      made.push(rule)
      return interception
    },
    refuse() {
      isRefusing = true
      proxy.cutAll()
    },
    accept() {
      isRefusing = false
    },
    refusals: () => refusals,
    close() {
      for (const { release } of made) release() // statements that wait for it must be able to end
      return proxy.close()
    },
  }
}

async function meet({ fate, released, happen }: Rule, connection: ProxiedConnection): Promise<Passage> {
  switch (fate) {
    case 'cut':
      connection.cut()
      happen()
      return 'stop'
    case 'drop':
      connection.dropAnswer()
      return 'pass'
    case 'abandon':
      happen()
      return 'abandon'
    case 'hold':
      happen()
      await released
      return 'pass'
    case 'late':
      connection.hangUp()
      happen()
      await released
      return 'pass'
  }
}
