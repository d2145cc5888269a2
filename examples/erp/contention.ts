import { Hono } from 'hono'
import { contentionReport } from 'prisma-extension-concurrency/report'
import type { Database } from './database.js'

/** Where the calls of this machine meet: as figures for the command `report`, and as a page. Not for strangers. */
export function contention(db: Database) {
  const app = new Hono()
  app.get('/', async (c) => c.json(await db.$contention()))
  app.get('/report', async (c) => c.html(await contentionReport(await db.$contention(), 'html')))
  return app
}
