/** A lock service with a REST interface, in a process of its own, which keeps its locks in a database of the same PostgreSQL. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/support/server.js'
import { isInstalled } from '../runner/contenders.js'
import { startProgram } from './program.js'
import type { SideServer } from './server.js'

/** Listens on 127.0.0.1 at `PORT`, and keeps its locks in the database that `DATABASE_URL` names. */
const MAIN = fileURLToPath(new URL('rest/main.ts', import.meta.url))

export const REST: SideServer = {
  name: 'rest',
  whyMissing() {
    if (!existsSync(MAIN)) return 'the REST lock service is not written yet'
    return isInstalled('fastify') ? undefined : 'the package fastify is not installed'
  },
  async start(folder, watch, { databaseUrl }) {
    const port = await freePort()
    const args = ['--import', import.meta.resolve('tsx'), MAIN]
    const env = { DATABASE_URL: databaseUrl, PORT: String(port) }
    const program = await startProgram({ command: process.execPath, args, folder, env, port }, watch)
    const url = `http://127.0.0.1:${port}`
    const meter = async () => (await (await fetch(`${url}/meter`)).json()) as { database: string; statements: number }
    const { database } = await meter()
    return { ...program, urls: [url], state: { database, statements: async () => (await meter()).statements } }
  },
}
