import { readFile } from 'node:fs/promises'
import { Hono } from 'hono'
import type { Database } from './database.js'
import type { LiveStock } from './live-stock.js'

const PAGE = new URL('board.html', import.meta.url)
const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  connection: 'close', // when the events end, or a machine that closes would wait for the idle connection
  'x-accel-buffering': 'no', // or nginx would collect events before it passes them on
}

/** The live stock board: a page, its events, and the clock by which it shows how late it is. Not for strangers. */
export function board(db: Database, live: LiveStock) {
  const app = new Hono()
  app.get('/', async (c) => c.html(await readFile(PAGE, 'utf8')))
  app.get('/events', (c) => c.body(live.events(), 200, HEADERS))
  app.get('/clock', async (c) => {
    const [now] = await db.$queryRaw<[{ at: number }]>`
      SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS at`
    return c.json(now)
  })
  return app
}
