/*
 * BEGIN, the first statement of a transaction, and the statement after it where nobody waits for the answer in between,
 * are sent together, as the JDBC driver of PostgreSQL does: that saves two round trips, and the way of the first
 * statement through Prisma. Between them there is no Sync: the server passes over all that follows one that fails, and a
 * pooler takes them for one query. Nothing else is sent before BEGIN has been answered, or where it has failed.
 */

/** The messages of node-postgres to the server (read on pg 8.11 and 8.23). */
interface Wire {
  /** The texts of the statements that the server has prepared on this connection, by their names. */
  readonly parsedStatements?: Readonly<Record<string, string | undefined>>
  parse(statement: { readonly text: string }): void
  bind(values: { readonly statement?: string | undefined; readonly values?: readonly string[] }): void
  describe(what: { readonly type: 'P' }): void
  execute(portal: object): void
  sync(): void
}

interface Config {
  readonly text: string
  readonly name?: string | undefined
  readonly values?: readonly unknown[] | undefined
}

interface Result {
  readonly fields: readonly { readonly name: string }[]
  /** Each row is an object, or an array where the query was asked for that. */
  readonly rows: readonly never[]
}

/** A query of node-postgres, to which the answers of the server are handed on. */
interface Query {
  text: string
  name?: string | undefined
  callback: (error: unknown, results: readonly Result[]) => void
  requiresPreparation(): boolean
  prepare(wire: Wire): void
  handleCommandComplete(message: object, wire: Wire): void
}

type QueryClass = new (config: Config) => Query

/** A connection of the pool of node-postgres. */
export interface Connection {
  readonly connection?: Wire
  readonly pipeline?: boolean
  readonly constructor: { readonly Query?: QueryClass }
  query(query: Config): unknown
  release(error?: unknown): void
}

/** The first statement, and the isolation level that BEGIN names. */
interface First extends Config {
  readonly level: string | undefined
  readonly values: readonly unknown[]
}

const DONE = Promise.resolve({ rowCount: 0 })

/** The beginning of a transaction on one connection. */
export class Start implements ProxyHandler<Connection> {
  /** For the adapter, in the place of the connection itself. */
  readonly connection: Connection
  /** Whether the adapter begins by itself, and sends the first statement like any other. */
  isLeft = false
  readonly #connection: Connection
  readonly #wire: Wire
  readonly #Together: TogetherClass
  readonly #first: First
  /** Queries of the adapter that are still to come, in whose place `BEGIN` is sent. */
  readonly #toCome: string[]
  /** Settles when BEGIN, and what was sent with it, was answered. */
  #sent: Promise<void> | undefined
  #hasBegun = false
  #failure: { readonly error: unknown } | undefined
  #told: { readonly error: unknown } | undefined
  #answer: Result | undefined

  private constructor(connection: Connection, wire: Wire, Together: TogetherClass, first: First) {
    this.#connection = connection
    this.#wire = wire
    this.#Together = Together
    this.#first = first
    this.#toCome = [...beginOf(first)]
    this.connection = new Proxy(connection, this)
  }

  /** `undefined` where the adapter has to begin: a name is made known to the server by a query of Prisma's. */
  static on(connection: Connection, first: First): Start | undefined {
    const wire = connection.connection
    const { Query } = connection.constructor
    if (!wire || !Query || connection.pipeline || !isKnown(wire, first)) return undefined
    return new Start(connection, wire, togetherOf(Query), first)
  }

  get(connection: Connection, name: string | symbol): unknown {
    if (name === 'query') return this.#query
    if (name === 'release') return this.#release
    const value: unknown = Reflect.get(connection, name)
    return typeof value === 'function' ? value.bind(connection) : value
  }

  /** The row of the first statement, as soon as it was answered. */
  get row(): never | undefined {
    const { rows: [row] = [], fields = [] } = this.#answer ?? {}
    if (!Array.isArray(row)) return row
    const values: readonly unknown[] = row
    return Object.fromEntries(fields.map(({ name }, index): unknown[] => [name, values[index]]))
  }

  /** Sends the first statement without another one, and waits for its row. */
  async answer(): Promise<never | undefined> {
    try {
      await this.#send()
    } catch (error) {
      this.#told = { error }
      throw error
    }
    return this.row
  }

  readonly #query = (config: Config): unknown => {
    const told = this.#told
    this.#told = undefined
    if (told && config.text === this.#first.text) return Promise.reject(told.error)
    if (this.#hasBegun) return this.#connection.query(config)
    if (this.#failure) return Promise.reject(this.#failure.error)
    if (this.#toCome.length > 0) {
      if (config.text !== this.#toCome.shift()) return this.#leave(config)
      return DONE
    }
    if (this.#sent) return this.#sent.then(() => this.#query(config))
    // COMMIT, a savepoint, and several statements in one text have no values.
    if (config.values && config.values.length > 0 && isKnown(this.#wire, config)) return this.#send(config)
    return this.#send().then(
      () => this.#query(config),
      (error: unknown) => {
        // COMMIT must not pass for one, so nothing more is sent.
        this.#fail(error)
        throw error
      },
    )
  }

  /** An adapter that begins in another way begins by itself: no query of its own is left out. */
  async #leave(config: Config): Promise<unknown> {
    this.isLeft = true
    this.#hasBegun = true
    const { length } = beginOf(this.#first)
    const leftOut = length - 1 - this.#toCome.length
    for (const text of beginOf(this.#first).slice(0, leftOut)) await this.#connection.query({ text })
    return this.#connection.query(config)
  }

  #fail(error: unknown): void {
    this.#hasBegun = false
    this.#failure = { error }
  }

  /** A connection of which it is not known that the transaction has ended is not for another one. */
  readonly #release = (error?: unknown): void => this.#connection.release(error ?? this.#failure?.error)

  #send(next?: Config): Promise<Result | undefined> {
    const answer = new Promise<Result | undefined>((resolve, reject) => {
      const query = new this.#Together(this.#first, next)
      query.callback = (error, results) => {
        if (query.hasBegun) this.#hasBegun = true
        else this.#failure = { error }
        if (error) return reject(error)
        this.#answer = results[beginOf(this.#first).length]
        resolve(results.at(-1))
      }
      this.#connection.query(query)
    })
    const settle = () => {}
    this.#sent = answer.then(settle, settle)
    return answer
  }
}

/** Whether the server knows the statement by its name, where it has one. */
function isKnown({ parsedStatements }: Wire, { name, text }: Config): boolean {
  return name === undefined || parsedStatements?.[name] === text
}

/** BEGIN, as the adapter sends it. */
function beginOf({ level }: First): readonly string[] {
  return level === undefined ? ['BEGIN'] : ['BEGIN', `SET TRANSACTION ISOLATION LEVEL ${level}`]
}

type TogetherClass = new (first: First, next: Config | undefined) => Query & { readonly hasBegun: boolean }

const classes = new WeakMap<QueryClass, TogetherClass>()

/** A class for each of the driver's. No file of others is imported here: it would be a file more for each entry. */
function togetherOf(Base: QueryClass): TogetherClass {
  const known = classes.get(Base) ?? togetherClass(Base)
  classes.set(Base, known)
  return known
}

/**
 * BEGIN, and the one or two statements behind it, as one query of node-postgres. It has no name while it is answered:
 * the driver would take that for the name of each statement that the server has parsed.
 */
function togetherClass(Base: QueryClass): TogetherClass {
  return class extends Base {
    readonly #begin: readonly string[]
    readonly #first: First
    readonly #next: Config | undefined
    hasBegun = false

    constructor(first: First, next: Config | undefined) {
      const begin = beginOf(first)
      const texts = [...begin, first.text, ...(next ? [next.text] : [])]
      super({ ...next, text: texts.join(';\n'), name: undefined })
      this.#begin = begin
      this.#first = first
      this.#next = next
    }

    override requiresPreparation(): boolean {
      return true
    }

    override prepare(wire: Wire): void {
      for (const text of this.#begin) {
        wire.parse({ text })
        wire.bind({})
        wire.execute({})
      }
      const { text, name, values } = this.#first
      if (name === undefined) wire.parse({ text })
      wire.bind({ statement: name, values: values.map(String) })
      wire.describe({ type: 'P' })
      wire.execute({})
      const next = this.#next
      if (next === undefined) {
        wire.sync()
        return
      }
      const all = this.text
      this.text = next.text
      this.name = next.name
      super.prepare(wire)
      this.text = all
      this.name = undefined
    }

    override handleCommandComplete(message: object, wire: Wire): void {
      this.hasBegun = true
      super.handleCommandComplete(message, wire)
    }
  }
}
