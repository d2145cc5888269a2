import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { createApp } from './app.js'
import { type ConnectOptions, connect } from './database.js'
import { foldDeferred } from './folding.js'
import { LiveStock } from './live-stock.js'

export interface ErpServer {
  /** Where it listens, such as `http://127.0.0.1:3000`. */
  readonly url: string
  /** Answers what has come in, then ends. */
  close(): Promise<void>
}

export interface ErpOptions extends ConnectOptions {
  /** 0 is any that is free. */
  readonly port?: number
  /** How often deferred movements are folded into the balances, in ms. */
  readonly foldEvery?: number
  /** Where the stock board listens, if `databaseUrl` leads to PgBouncer in transaction mode. */
  readonly listenUrl?: string
  /** How often the stock board has news of the time at least, in ms. */
  readonly beat?: number
}

/** One machine: a client of its own, a server in front of it, the fold beside it, and the stock board. */
export async function startErp(
  databaseUrl: string,
  { port = 0, foldEvery = 1_000, listenUrl = databaseUrl, beat, ...options }: ErpOptions = {},
): Promise<ErpServer> {
  const db = connect(databaseUrl, options)
  const live = new LiveStock(listenUrl, { beat })
  const { fetch } = createApp(db, live)
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: '127.0.0.1' }, (address: AddressInfo) => {
      const folding = foldDeferred(db, foldEvery)
      const close = async () => {
        await live.stop() // its answers would never end
        await new Promise((closed) => server.close(closed))
        await folding.stop()
        await db.$disconnect()
      }
      resolve({ url: `http://127.0.0.1:${address.port}`, close })
    })
    server.once('error', reject)
  })
}
