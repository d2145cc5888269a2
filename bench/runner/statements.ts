/**
 * Counts the statements of this process to PostgreSQL, on the `query` of node-postgres, which Prisma's
 * adapter and the ORMs use too. Counted here, and not in the server, it is exact from one moment
 * to another, and the server needs no extension that it is not shipped with.
 */
import { createRequire } from 'node:module'
import type pg from 'pg'

export interface StatementCounts {
  readonly statements: number
  readonly transactions: number
}

const BEGIN = /^\s*(?:BEGIN|START\s+TRANSACTION)\b/i
const END = /(?:^|;)\s*(?:COMMIT|END|ROLLBACK(?!\s+TO)|ABORT)\b[^;]*;?\s*$/i

let statements = 0
let transactions = 0
const inTransaction = new WeakSet<object>()

/** The counts since the process began. */
export const statementCounts = (): StatementCounts => ({ statements, transactions })

/** The root's node-postgres, which Prisma's adapter uses, and the one that a package of the bench may have brought. */
const PACKAGES = [new URL('../../package.json', import.meta.url), new URL('../package.json', import.meta.url)]

/** The classes of all clients of PostgreSQL that contenders use. */
export function postgresClients(): Set<typeof pg.Client> {
  return new Set(PACKAGES.map((from) => (createRequire(from)('pg') as typeof pg).Client))
}

/** Begins to count. */
export function countStatements(): void {
  for (const { prototype } of postgresClients()) {
    const query: (...args: unknown[]) => unknown = prototype.query
    function counted(this: object, ...args: unknown[]): unknown {
      count(this, textOf(args[0]))
      return query.apply(this, args)
    }
    prototype.query = counted as typeof prototype.query
  }
}

function count(client: object, text: string): void {
  statements++
  if (BEGIN.test(text)) {
    transactions++
    if (!END.test(text)) inTransaction.add(client)
  } else if (inTransaction.has(client)) {
    if (END.test(text)) inTransaction.delete(client)
  } else {
    transactions++
  }
}

/** The SQL of what `query` was given first. */
export function textOf(config: unknown): string {
  if (typeof config === 'string') return config
  return typeof config === 'object' && config !== null && 'text' in config ? String(config.text) : ''
}
