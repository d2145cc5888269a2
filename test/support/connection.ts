import pg from 'pg'
import { onTestFinished } from 'vitest'

/** A connection past Prisma and past this package, closed when the test ends, also when it fails. */
export async function openConnection(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

/** A transaction of somebody else's that has run `sql`, and holds what it has locked until it ends. */
export async function openTransaction(url: string, sql: string, values?: unknown[]): Promise<pg.Client> {
  const client = await openConnection(url)
  await client.query('BEGIN')
  await client.query(sql, values)
  return client
}
