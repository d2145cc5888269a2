import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { createApp } from './app.js'
import { type ConnectOptions, connect } from './database.js'
import { foldDeferred } from './folding.js'

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
}

/** One machine: a client of its own, a server in front of it, and the fold beside it. */
export async function startErp(
  databaseUrl: string,
  { port = 0, foldEvery = 1_000, ...options }: ErpOptions = {},
): Promise<ErpServer> {
  const db = connect(databaseUrl, options)
  const { fetch } = createApp(db)
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: '127.0.0.1' }, (address: AddressInfo) => {
      const folding = foldDeferred(db, foldEvery)
      const close = async () => {
        await new Promise((closed) => server.close(closed))
        await folding.stop()
        await db.$disconnect()
      }
      resolve({ url: `http://127.0.0.1:${address.port}`, close })
    })
    server.once('error', reject)
  })
}
