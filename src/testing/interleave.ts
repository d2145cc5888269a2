import pg from 'pg'
import { type BodyName, BrokenOrder } from './broken-order.js'
import { type Choice, OrderRun } from './order-run.js'

/** How the two bodies ended. */
export interface InterleaveResults<A, B> {
  readonly a: PromiseSettledResult<A>
  readonly b: PromiseSettledResult<B>
}

/** C is the type of the client that the bodies are given. */
export interface InterleaveOptions<C, A = unknown, B = unknown> {
  /** The database. Each body has a client of its own, which is connected through a proxy in front of it. */
  readonly url: string
  /** Makes a client as your program does, which is connected to this URL. Called three times. */
  readonly connect: (url: string) => C | PromiseLike<C>
  /** Ends a client, such as `(db) => db.$disconnect()`. */
  readonly disconnect: (client: C) => unknown
  /** Brings the database into the state in which each order begins. Called before each. */
  readonly setup: (client: C) => unknown
  /** The invariant, looked at after each order: it is broken if this throws, or gives `false`. */
  readonly check: (client: C, results: InterleaveResults<A, B>) => unknown
  /** Whether a body may end with this error. Default: with none, and an order in which it does is a broken one. */
  readonly mayFail?: (error: unknown, body: BodyName) => boolean
  /** The most orders that are tried. Default 1,000. Those with the fewest changes between the bodies come first. */
  readonly maxOrders?: number
  /** The most statements of one order. A longer one is not looked at. Default 200. */
  readonly maxStatements?: number
  /** How long a body may take to send its next statement, or the server to answer, in ms. Default 10,000. */
  readonly patience?: number
}

/** The result of `interleave`. */
export interface Interleaving {
  /** How many orders were tried. */
  readonly orders: number
  /** How many were begun and not looked at: they were too long, or went another way than the time before. */
  readonly skipped: number
  /** Whether these were all orders that there are. */
  readonly isComplete: boolean
  /** The first order that breaks the invariant. No other one changes between the bodies less often. */
  readonly broken: BrokenOrder | undefined
}

/**
 * Runs two bodies against a real server in all orders of their statements, and looks at an invariant after each. Each
 * body is held before its next statement until it is its turn. A statement that waits for a lock lets the other body go
 * on. Orders that the server does not allow are left out.
 *
 * The bodies have clients of their own, as two processes have. They must use the client that they are given, and no
 * other one; any client of PostgreSQL will do, for what is held is the messages on the wire.
 *
 * @param a the first body
 * @param b the other one; it may be the same
 * @returns how many orders were tried, and the one that breaks the invariant, if there is one
 * @throws Error if a body sends nothing, or does not go on
 *
 * @example
 * const sellOne = async (shop: typeof db) => {
 *   const { stock } = await shop.product.findUniqueOrThrow({ where: { id } })
 *   await shop.product.update({ where: { id }, data: { stock: stock - 1 } })
 * }
 * const { broken } = await interleave(sellOne, sellOne, {
 *   url,
 *   connect,
 *   disconnect: (shop) => shop.$disconnect(),
 *   setup: (shop) => shop.product.update({ where: { id }, data: { stock: 39 } }),
 *   check: async (shop) => (await shop.product.findUniqueOrThrow({ where: { id } })).stock === 37,
 * })
 * console.log(broken?.order) // both read, then both write
 */
export async function interleave<C, A, B>(
  a: (client: C) => PromiseLike<A>,
  b: (client: C) => PromiseLike<B>,
  options: InterleaveOptions<C, A, B>,
): Promise<Interleaving> {
  const { url, connect, disconnect } = options
  const observer = new pg.Client({ connectionString: url })
  observer.on('error', () => {})
  await observer.connect()
  const run = new OrderRun<C>(observer, options)
  const { participants } = run
  try {
    await participants.a.open(url, connect)
    await participants.b.open(url, connect)
    const own = await connect(url)
    try {
      return await new Explorer({ run, own, a, b, options }).explore()
    } finally {
      await disconnect(own)
    }
  } finally {
    await Promise.allSettled([participants.a.close(disconnect), participants.b.close(disconnect), observer.end()])
  }
}

/**
 * The same, as an assertion of a test.
 *
 * @throws the BrokenOrder that was found; its message shows the order
 *
 * @example
 * await assertInterleaved(sellOne, receiveTen, { url, connect, disconnect, setup, check })
 */
export async function assertInterleaved<C, A, B>(
  a: (client: C) => PromiseLike<A>,
  b: (client: C) => PromiseLike<B>,
  options: InterleaveOptions<C, A, B>,
): Promise<Interleaving> {
  const found = await interleave(a, b, options)
  if (found.broken) throw found.broken
  return found
}

interface Exploration<C, A, B> {
  readonly run: OrderRun<C>
  /** A client for setup and check, which nobody holds. */
  readonly own: C
  readonly a: (client: C) => PromiseLike<A>
  readonly b: (client: C) => PromiseLike<B>
  readonly options: InterleaveOptions<C, A, B>
}

/**
 * Walks through the orders. An order that was tried shows where else it could have changed to the other body: each of
 * these places is the beginning of another order. So each order is tried once, and those with fewer changes come first.
 */
class Explorer<C, A, B> {
  readonly #exploration: Exploration<C, A, B>
  /** The beginnings of orders to try, by the number of changes. */
  readonly #beginnings: BodyName[][][] = [[[]]]

  constructor(exploration: Exploration<C, A, B>) {
    this.#exploration = exploration
  }

  async explore(): Promise<Interleaving> {
    const { maxOrders = 1_000 } = this.#exploration.options
    await this.#warmUp()
    let [orders, skipped] = [0, 0]
    for (let changes = 0; changes < this.#beginnings.length; changes++) {
      for (const beginning of this.#beginnings[changes] ?? []) {
        if (orders + skipped >= maxOrders) return { orders, skipped, isComplete: false, broken: undefined }
        const { choices, broken } = await this.#try(beginning)
        if (choices === undefined) {
          skipped++
          continue
        }
        orders++
        if (broken) return { orders, skipped, isComplete: false, broken }
        this.#add(beginning, choices, changes)
      }
      this.#beginnings[changes] = []
    }
    return { orders, skipped, isComplete: skipped === 0, broken: undefined }
  }

  /** No order has the statements that a client sends only once, such as a look into the catalogue. */
  async #warmUp(): Promise<void> {
    const { run, own, a, b, options } = this.#exploration
    await options.setup(own)
    await run.alone('a', a)
    await options.setup(own)
    await run.alone('b', b)
  }

  async #try(beginning: readonly BodyName[]): Promise<{ choices?: readonly Choice[]; broken?: BrokenOrder }> {
    const { run, own, a, b, options } = this.#exploration
    await options.setup(own)
    const { choices, steps, results } = await run.inOrder(beginning, a, b)
    if (choices === undefined) return {}
    const error = await this.#errorOf(results, own)
    return {
      choices,
      ...(error === undefined ? {} : { broken: new BrokenOrder({ steps, results, cause: error.error }) }),
    }
  }

  async #errorOf(results: InterleaveResults<A, B>, own: C): Promise<{ error: unknown } | undefined> {
    const { mayFail, check } = this.#exploration.options
    for (const body of ['a', 'b'] as const) {
      const result = results[body]
      if (result.status === 'rejected' && mayFail?.(result.reason, body) !== true) return { error: result.reason }
    }
    try {
      const isKept = await check(own, results)
      return isKept === false ? { error: new Error('The invariant is broken') } : undefined
    } catch (error) {
      return { error }
    }
  }

  /** Adds the orders that begin as this one did, and then change to the other body. */
  #add(beginning: readonly BodyName[], choices: readonly Choice[], changes: number): void {
    const bodies = choices.map(({ body }) => body)
    for (const [index, { other }] of choices.entries()) {
      if (index < beginning.length || other === undefined) continue
      const bucket = changes + (index === 0 ? 0 : 1)
      const group = (this.#beginnings[bucket] ??= [])
      group.push([...bodies.slice(0, index), other])
    }
  }
}
