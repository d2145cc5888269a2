import { createDatabase } from '../test/support/database.js'
import { startServer } from '../test/support/server.js'

/** Runs an example in a database of its own: in the server that `DATABASE_URL` names, or in an embedded one. */
export async function withDatabase(run: (url: string) => Promise<void>): Promise<void> {
  const server = await startServer()
  try {
    const database = await createDatabase(server.url)
    try {
      await run(database.url)
    } finally {
      await database.drop()
    }
  } finally {
    await server.stop()
  }
}
