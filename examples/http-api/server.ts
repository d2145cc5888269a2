import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { createApp } from './app.js'
import { connect } from './database.js'

export interface ApiServer {
  /** Where it listens, such as `http://127.0.0.1:3000`. */
  readonly url: string
  close(): Promise<void>
}

/** One machine: a client of its own, and a server in front of it. Port 0 is any that is free. */
export async function startApi(databaseUrl: string, port = 0): Promise<ApiServer> {
  const db = connect(databaseUrl)
  const { fetch } = createApp(db)
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: '127.0.0.1' }, (address: AddressInfo) => {
      const close = async () => {
        await new Promise((closed) => server.close(closed))
        await db.$disconnect()
      }
      resolve({ url: `http://127.0.0.1:${address.port}`, close })
    })
    server.once('error', reject)
  })
}
