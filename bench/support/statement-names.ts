import { createHash } from 'node:crypto'

const names = new Map<string, string>()

/** For `@prisma/adapter-pg`: the same text has the same name, so each connection prepares it once. */
export function statementNameGenerator({ sql }: { readonly sql: string }): string {
  const known = names.get(sql)
  if (known !== undefined) return known
  const name = createHash('sha256').update(sql).digest('base64url')
  names.set(sql, name)
  return name
}
