import { randomUUID } from 'node:crypto'
import { onTestFinished } from 'vitest'

/**
 * An ordinary user of the database, who may read and write its tables and nothing else, until the
 * test ends. Resolves to the URL under which it connects.
 */
export async function openRole(database: {
  readonly url: string
  query(sql: string): Promise<unknown>
}): Promise<string> {
  const name = `ordinary_${randomUUID().replaceAll('-', '')}`
  await database.query(`
CREATE ROLE ${name} LOGIN PASSWORD 'secret';
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${name};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${name}`)
  onTestFinished(async () => void (await database.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`)))
  const url = new URL(database.url)
  url.username = name
  url.password = 'secret'
  return url.href
}
