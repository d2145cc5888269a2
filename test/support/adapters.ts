import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { PGlite } from '@electric-sql/pglite'
import { neonConfig } from '@neondatabase/serverless'
import { PrismaNeon, PrismaNeonHttp } from '@prisma/adapter-neon'
import { PrismaPg } from '@prisma/adapter-pg'
import type { SqlDriverAdapterFactory } from '@prisma/driver-adapter-utils'
import pg from 'pg'
import { PrismaPGlite } from 'pglite-prisma-adapter'
import { WebSocket, WebSocketServer } from 'ws'
import { applyMigrations } from './database.js'

export type AdapterName = 'adapter-pg' | 'one connection' | 'Neon, WebSocket' | 'Neon, HTTP' | 'PGlite'

export interface OpenAdapter {
  readonly adapter: SqlDriverAdapterFactory
  close(): Promise<void>
}

/** An adapter of Prisma's, on the database of the test; PGlite is a database of its own. */
export const ADAPTERS: Readonly<Record<AdapterName, (url: string) => Promise<OpenAdapter>>> = {
  'adapter-pg': async (url) => ({ adapter: new PrismaPg({ connectionString: url }), close: async () => {} }),
  'one connection': async (url) => ({
    adapter: new PrismaPg({ connectionString: url, max: 1 }),
    close: async () => {},
  }),
  'Neon, WebSocket': openNeon,
  'Neon, HTTP': openNeonHttp,
  PGlite: openPGlite,
}

async function openPGlite(): Promise<OpenAdapter> {
  const database = await PGlite.create()
  await applyMigrations((sql) => database.exec(sql))
  return { adapter: new PrismaPGlite(database) as unknown as SqlDriverAdapterFactory, close: () => database.close() }
}

/** Neon's driver, with a bridge from WebSockets to the server, as Neon has it in front of its own. */
async function openNeon(url: string): Promise<OpenAdapter> {
  const { hostname, port } = new URL(url)
  const bridge = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(bridge, 'listening')
  const sockets = new Set<Socket>()
  bridge.on('connection', (client) => {
    const server = connect(Number(port), hostname)
    sockets.add(server)
    server.on('error', () => {})
    server.on('data', (bytes) => client.send(bytes))
    server.on('close', () => client.close())
    client.on('message', (bytes: Buffer) => server.write(bytes))
    client.on('close', () => server.end())
  })
  neonConfig.webSocketConstructor = WebSocket
  neonConfig.wsProxy = () => `127.0.0.1:${(bridge.address() as AddressInfo).port}/`
  neonConfig.useSecureWebSocket = false
  neonConfig.pipelineTLS = false
  neonConfig.pipelineConnect = false
  return {
    adapter: new PrismaNeon({ connectionString: url }),
    async close() {
      for (const socket of sockets) socket.destroy()
      bridge.close()
    },
  }
}

/** Neon's driver, with a stand-in for its endpoint: one statement a request, rows as text. */
async function openNeonHttp(url: string): Promise<OpenAdapter> {
  const pool = new pg.Pool({ connectionString: url })
  const types = { getTypeParser: () => (text: string) => text }
  const server = createServer(async (request, response) => {
    const { query, params } = JSON.parse(await bodyOf(request))
    const answer = await pool
      .query({ text: query, values: params, rowMode: 'array', types: types as never })
      .then(({ command, rowCount, rows, fields }) => ({ command, rowCount, rows, fields, rowAsArray: true }))
      .catch(({ message, code, severity, detail, constraint, table, column }) => {
        response.statusCode = 400
        return { message, code, severity, detail, constraint, table, column }
      })
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  neonConfig.fetchEndpoint = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/sql`
  return {
    adapter: new PrismaNeonHttp(url, {}),
    async close() {
      server.closeAllConnections()
      server.close()
      await pool.end()
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const part of request.setEncoding('utf8')) body += part
  return body
}
