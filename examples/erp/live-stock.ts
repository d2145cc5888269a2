import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { BoardPage } from './board-page.js'
import { type Change, changeIn, checkTriggers, readPicture } from './board-picture.js'

export interface LiveStockOptions {
  /** How often a page is told the time, and a lost connection is opened anew, in ms. Default 1,000. */
  readonly beat?: number | undefined
  /** How long an answer of the database may take, in ms. Then the connection is taken for dead. Default 5,000. */
  readonly patience?: number | undefined
}

/**
 * One connection that listens, and reads what has changed, for all pages of this server.
 *
 * No page misses a change. The first full picture is read after LISTEN has committed, so a change is in the
 * picture, or is notified, or both. PostgreSQL notifies of a transaction when everybody can see it, so a read
 * that begins after the notification has it. The reads follow one another on one connection, and each brings
 * rows as they are, not differences: the later event is right, and a change that comes twice does no harm.
 */
export class LiveStock {
  readonly #url: string
  readonly #beat: number
  readonly #patience: number
  readonly #ending = new AbortController()
  readonly #pages = new Set<BoardPage>()
  /** Notified, and not read yet: for each item the first time. */
  readonly #changes = new Map<string, Change>()
  readonly #running: Promise<void>
  #isPoked = false
  #resume = () => {}

  /** @param url of the database itself: behind PgBouncer in transaction mode nobody can listen */
  constructor(url: string, { beat = 1_000, patience = 5_000 }: LiveStockOptions = {}) {
    this.#url = url
    this.#beat = beat
    this.#patience = patience
    this.#running = this.#run()
  }

  /** The events of one page, as server-sent events: a full picture, then what changes. */
  events(): ReadableStream<Uint8Array> {
    const page = new BoardPage(this.#poke)
    const encoder = new TextEncoder()
    return new ReadableStream<Uint8Array>({
      start: () => {
        if (this.#ending.signal.aborted) return page.end() // nobody would end it any more
        this.#pages.add(page)
        this.#poke()
      },
      pull: async (controller) => {
        const event = await page.next()
        if (event === undefined) controller.close()
        else controller.enqueue(encoder.encode(event))
      },
      cancel: () => void this.#pages.delete(page),
    })
  }

  /** Ends the events of all pages, which then look for another server. */
  async stop(): Promise<void> {
    this.#ending.abort()
    this.#poke()
    await this.#running
    for (const page of this.#pages) page.end()
  }

  readonly #poke = () => {
    this.#isPoked = true
    this.#resume()
  }

  /** Resolves when there is something to do that has come since the last time. */
  async #poked(): Promise<void> {
    if (!this.#isPoked) await new Promise<void>((resolve) => (this.#resume = resolve))
    this.#isPoked = false
  }

  /** Without a page there is no connection. A lost one is opened anew. */
  async #run(): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      if (this.#pages.size === 0) {
        await this.#poked()
        continue
      }
      try {
        await this.#follow()
      } catch (error) {
        if (!signal.aborted) console.error(error)
        await sleep(this.#beat, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** @throws Error if the connection is lost, or is taken for dead */
  async #follow(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'stock board',
      connectionTimeoutMillis: this.#patience,
      query_timeout: this.#patience,
    })
    let lost: Error | undefined
    const lose = (error: Error) => {
      lost ??= error
      this.#poke()
    }
    client.on('error', lose)
    client.on('end', () => lose(new Error('The connection of the stock board has ended.')))
    client.on('notification', ({ payload }) => this.#note(payload))
    const beating = setInterval(this.#poke, this.#beat)
    try {
      await client.connect()
      await client.query('LISTEN stock_board')
      await checkTriggers(client)
      for (const page of this.#pages) page.needsPicture = true
      while (this.#pages.size > 0 && !this.#ending.signal.aborted) {
        if (lost !== undefined) throw lost
        await this.#tell(client)
        await this.#poked()
      }
    } finally {
      clearInterval(beating)
      this.#changes.clear() // the next connection begins with full pictures
      client.end().catch(() => {}) // not waited for: a server that is gone would not answer
    }
  }

  #note(payload: string | undefined): void {
    const change = changeIn(payload)
    if (change === undefined) return
    const key = JSON.stringify([change.productId, change.warehouse])
    if (!this.#changes.has(key)) this.#changes.set(key, change)
    this.#poke()
  }

  async #tell(client: pg.Client): Promise<void> {
    const changed = [...this.#changes.values()]
    this.#changes.clear() // before the read: a change that is notified during it is for the next one
    const newcomers = [...this.#pages].filter(({ needsPicture }) => needsPicture)
    const followers = [...this.#pages].filter(({ needsPicture }) => !needsPicture)
    if (followers.length > 0) {
      // Without a change it has the time, and shows that the connection is alive.
      const committed = changed.length > 0 ? Math.min(...changed.map(({ at }) => at)) : undefined
      const picture = await readPicture(client, changed)
      const keys = changed.map(({ productId, warehouse }) => ({ productId, warehouse }))
      const event = eventOf('change', { ...picture, keys, committed })
      for (const page of followers) page.tell(event)
    }
    if (newcomers.length > 0) {
      const event = eventOf('picture', await readPicture(client))
      for (const page of newcomers) {
        page.needsPicture = false
        page.tell(event)
      }
    }
  }
}

const eventOf = (name: 'picture' | 'change', data: object) =>
  `retry: 250\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
