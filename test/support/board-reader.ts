import { once } from 'node:events'
import { get } from 'node:http'
import { Readable } from 'node:stream'
import { onTestFinished } from 'vitest'
import type { BoardItem, BoardMovement, Key, Picture } from '../../examples/erp/board-picture.js'

export interface BoardEvent extends Picture {
  readonly event: 'picture' | 'change'
  /** Of a change: the items it is about, and the earliest commit. */
  readonly keys?: readonly Key[]
  readonly committed?: number
}

/** A page without a browser: it reads the events of a stock board, and keeps what a page shows. */
export class BoardReader {
  readonly events: BoardEvent[] = []
  readonly #items = new Map<string, BoardItem>()
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  #text = ''
  #movements: readonly BoardMovement[] = []

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader()
    onTestFinished(() => this.close())
  }

  /** As a page connects to a server. */
  static async connect(url: string): Promise<BoardReader> {
    // Not by fetch: when a stream ends, it opens a connection in reserve, for which a server that closes waits.
    const [answer] = await once(get(`${url}/board/events`, { agent: false }), 'response')
    return new BoardReader(Readable.toWeb(answer) as ReadableStream<Uint8Array>)
  }

  get items(): readonly Omit<BoardItem, 'name'>[] {
    return [...this.#items.values()]
      .map(({ name, ...item }) => item)
      .sort((a, b) => a.productId - b.productId || (a.warehouse < b.warehouse ? -1 : 1))
  }

  get movements(): readonly BoardMovement[] {
    return this.#movements
  }

  /** The next event; `undefined` if the server has ended them. */
  async next(): Promise<BoardEvent | undefined> {
    while (!this.#text.includes('\n\n')) {
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      this.#text += this.#decoder.decode(value, { stream: true })
    }
    const end = this.#text.indexOf('\n\n')
    const [, name = '', data = ''] = /^event: (.*)\ndata: (.*)$/m.exec(this.#text.slice(0, end)) ?? []
    this.#text = this.#text.slice(end + 2)
    const event = { event: name, ...JSON.parse(data) } as BoardEvent
    this.#apply(event)
    return event
  }

  /** Reads on until it holds. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) if ((await this.next()) === undefined) throw new Error('The events have ended.')
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {})
  }

  #apply(event: BoardEvent): void {
    this.events.push(event)
    if (event.event === 'picture') this.#items.clear()
    for (const key of event.keys ?? []) this.#items.delete(nameOf(key))
    for (const item of event.items) this.#items.set(nameOf(item), item)
    this.#movements = event.movements
  }
}

const nameOf = ({ productId, warehouse }: Key) => `${productId} ${warehouse}`
