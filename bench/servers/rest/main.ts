/**
 * A lock service of one's own, as small as possible: a lease with a token in a table, which is
 * taken with POST, renewed with PUT and given back with DELETE. A caller that waits is answered as
 * soon as a lock is given back, or its time is up.
 */
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import pg from 'pg'
import { Waiting } from './waiting.js'

interface Lock {
  readonly name: string
  readonly token: string
}

const { DATABASE_URL = '', PORT = '' } = process.env

const TABLE = `CREATE TABLE lock (
  name text PRIMARY KEY,
  token uuid NOT NULL,
  locked_until timestamptz NOT NULL
)`

const MAKE = {
  name: 'make',
  text: `INSERT INTO lock (name, token, locked_until) VALUES ($1, gen_random_uuid(), '-infinity')
ON CONFLICT (name) DO NOTHING`,
}

// Not by ON CONFLICT DO UPDATE: that locks the row also when it is not free, which is a write.
const TAKE = {
  name: 'take',
  text: `UPDATE lock SET token = $2, locked_until = clock_timestamp() + $3 * interval '1 ms'
WHERE name = $1 AND locked_until <= clock_timestamp()`,
}

const RENEW = {
  name: 'renew',
  text: `UPDATE lock SET locked_until = clock_timestamp() + $3 * interval '1 ms'
WHERE name = $1 AND token = $2 AND locked_until > clock_timestamp()`,
}

const GIVE_BACK = {
  name: 'give-back',
  text: `UPDATE lock SET locked_until = '-infinity' WHERE name = $1 AND token = $2 AND locked_until > clock_timestamp()`,
}

const DATABASE = `bench_locks_${process.pid}`
await onMaintenanceDatabase(`CREATE DATABASE ${DATABASE}`)
const url = new URL(DATABASE_URL)
url.pathname = `/${DATABASE}`
const pool = new pg.Pool({ connectionString: url.href, max: 5 })
pool.on('error', () => {}) // an idle connection that breaks is replaced
await pool.query(TABLE)

/** Each is a transaction, too. */
let statements = 0
function query(statement: pg.QueryConfig): Promise<pg.QueryResult> {
  statements++
  return pool.query(statement)
}

/** The rows that are there. They stay. */
const made = new Set<string>()
async function make(name: string): Promise<void> {
  if (made.has(name)) return
  await query({ ...MAKE, values: [name] })
  made.add(name)
}

const waiting = new Waiting()
const service = Fastify()

service.post<{ Params: Pick<Lock, 'name'>; Body: { ttl: number; wait: number } }>(
  '/locks/:name',
  async ({ params: { name }, body: { ttl, wait } }, reply) => {
    const token = randomUUID()
    const begin = performance.now()
    await make(name)
    const given = await waiting.inLine(name, wait, async () => {
      const waited = performance.now() - begin
      const { rowCount } = await query({ ...TAKE, values: [name, token, ttl] })
      return rowCount === 1 ? { token, waited } : undefined
    })
    return given ? reply.code(201).send(given) : reply.code(423).send({ error: 'held' })
  },
)

service.put<{ Params: Lock; Body: { ttl: number } }>(
  '/locks/:name/:token',
  async ({ params: { name, token }, body: { ttl } }, reply) => {
    const { rowCount } = await query({ ...RENEW, values: [name, token, ttl] })
    return rowCount === 1 ? reply.code(204).send() : reply.code(409).send({ error: 'lost' })
  },
)

service.delete<{ Params: Lock }>('/locks/:name/:token', async ({ params: { name, token } }, reply) => {
  const { rowCount } = await query({ ...GIVE_BACK, values: [name, token] })
  waiting.wakeFirst(name)
  return rowCount === 1 ? reply.code(204).send() : reply.code(409).send({ error: 'lost' })
})

// Its cost is measured, too.
service.get('/meter', () => ({ database: DATABASE, statements }))

process.once('SIGTERM', async () => {
  // The server may be gone already, and the database with it.
  await onMaintenanceDatabase(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`).catch(() => {})
  process.exit(0)
})

await service.listen({ host: '127.0.0.1', port: Number(PORT) })

async function onMaintenanceDatabase(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: DATABASE_URL })
  client.on('error', () => {}) // the query fails with it
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
