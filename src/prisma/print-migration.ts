import type { Layer } from './layers.js'

/**
 * `migrationFor` in migration.ts, which is loaded when it is called: no program that serves requests prints SQL.
 *
 * @throws ConfigurationError if the client does not have the extension
 */
export async function printMigration(client: object, name: Layer['name']): Promise<string> {
  const { migrationFor } = await import('./migration.js')
  return migrationFor(client, name)
}

/** The same of models that the package has printed. */
export async function printSchema(text: string): Promise<string> {
  const { migrationOf } = await import('./migration.js')
  return migrationOf(text)
}
