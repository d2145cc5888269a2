import type pg from 'pg'

/** Opens connections before they are needed: a pool that grows as it goes spreads a race out and hides it. */
export async function warm(pool: pg.Pool, connections: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()))
  await Promise.all(clients.map((client) => client.query('SELECT 1')))
  for (const client of clients) client.release()
}
