import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from './finding.js'

/** All findings about the database and the settings of a client, the worst first. */
export async function checkSetup(_setup: ClientSetup): Promise<readonly Finding[]> {
  return []
}
