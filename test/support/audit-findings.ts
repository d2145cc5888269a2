import { checksOf } from '../../src/cli/audit.js'
import { setupOf } from '../../src/engine/setup.js'

/** The findings of the command `audit`, a line each. */
export async function auditFindings(db: object): Promise<string[]> {
  const setup = setupOf(db)
  const found: string[] = []
  for (const check of setup?.features.flatMap((feature) => checksOf(setup.session, feature)) ?? []) {
    for await (const { code, where, what } of check()) found.push(`${code} ${where}: ${what}`)
  }
  return found
}
