import type { TestProject } from 'vitest/node'
import { createDatabase, databaseName } from './database.js'
import { startServer } from './server.js'

declare module 'vitest' {
  export interface ProvidedContext {
    serverUrl: string
    template: string
  }
}

/** One server for all test files; each makes its own databases in it. */
export default async function setup(project: TestProject) {
  // Whether a table has been analysed or vacuumed is for the test to say, and not for when the server gets round to it; an
  // ANALYZE of its own has a snapshot, and is an open transaction to whoever looks.
  const server = await startServer({ settings: { autovacuum: 'off' } })
  const template = await createDatabase(server.url)
  project.provide('serverUrl', server.url)
  project.provide('template', databaseName(template.url))
  return async () => {
    try {
      await template.drop()
    } finally {
      await server.stop()
    }
  }
}
