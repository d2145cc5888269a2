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
  const server = await startServer()
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
