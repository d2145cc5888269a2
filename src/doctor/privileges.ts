import type { Finding } from '../errors/index.js'
import { quoted, tableOf } from '../sql/sql.js'
import type { DatabaseFacts } from './facts.js'
import type { Needs } from './needs.js'

/** Privileges that the statements of a feature need, and the role does not have. */
export function checkPrivileges({ tables: needed }: Needs, { server, tables }: DatabaseFacts): Finding[] {
  return needed.flatMap(({ feature, model, privileges }): Finding[] => {
    const table = tables.get(model.name)
    const missing = table ? privileges.filter((privilege) => !table.privileges.has(privilege)) : []
    if (missing.length === 0) return []
    const list = missing.join(', ')
    return [
      {
        severity: 'error',
        code: 'PRIVILEGE_MISSING',
        where: tableOf(model),
        what: `The role ${server.role} has no privilege for ${list}`,
        cost: `Calls of ${feature} fail with "permission denied"`,
        sql: `GRANT ${list} ON ${tableOf(model)} TO ${quoted(server.role)};`,
      },
    ]
  })
}
