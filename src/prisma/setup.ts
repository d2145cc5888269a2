import { type ClientSetup, SETUP, type SetupOptions } from '../engine/setup.js'
import { rootSession } from './client-session.js'
import { readDataModel } from './data-model.js'
import { clientContext } from './extension.js'
import { layersOf } from './layers.js'

/** The method by which a Prisma client tells its setup, with all of this package's extensions on it. To the types it is not there. */
export function setupMethod(options: SetupOptions): Record<never, never> {
  return {
    [SETUP](this: object): ClientSetup {
      const client = clientContext(this)
      const features = layersOf(client).flatMap(({ name, map }) =>
        name === 'concurrency' || !map ? [] : { name, map },
      )
      const session = rootSession(client)
      const { adapter, inlineSchema } = client._engineConfig
      return {
        session,
        dataModel: readDataModel(client),
        options,
        features,
        connections: session.connections,
        namesStatements: adapter?.options?.statementNameGenerator !== undefined,
        schemaSql: async () => (await import('./migration.js')).schemaSqlOf(inlineSchema, adapter?.options?.schema),
      }
    },
  }
}
