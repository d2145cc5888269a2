import { literal, quoted } from './sql.js'

const TYPES: Readonly<Record<string, string>> = { Int: 'INTEGER', BigInt: 'BIGINT', String: 'TEXT', Boolean: 'BOOLEAN' }

/**
 * The SQL that Prisma's own migration makes of models which this package prints. It understands what
 * those have, and no more.
 */
export function migrationOf(models: string): string {
  const tables: string[] = []
  const indexes: string[] = []
  for (const [, name = '', body = ''] of models.matchAll(/^model (\w+) \{\n(.*?)^\}/gms)) {
    const columns = Array.from(body.matchAll(/^ {2}(\w+) +(\w+)(\?)? *(.*)$/gm), columnSql)
    const single = /^ {2}(\w+) .*@id$/m.exec(body)?.[1]
    const key = /^ {2}@@id\(\[(.*)\]\)$/m.exec(body)?.[1] ?? single ?? ''
    const primary = `    CONSTRAINT ${quoted(`${name}_pkey`)} PRIMARY KEY (${namesOf(key).map(quoted).join(',')})`
    tables.push(`-- CreateTable\nCREATE TABLE ${quoted(name)} (\n${columns.join('\n')}\n\n${primary}\n);\n`)
    for (const [, kind, list = ''] of body.matchAll(/^ {2}@@(index|unique)\(\[(.*)\]\)$/gm)) {
      const [unique, suffix] = kind === 'unique' ? ['UNIQUE ', 'key'] : ['', 'idx']
      const index = quoted([name, ...namesOf(list), suffix].join('_'))
      const columns = namesOf(list).map(quoted).join(', ')
      indexes.push(`-- CreateIndex\nCREATE ${unique}INDEX ${index} ON ${quoted(name)}(${columns});\n`)
    }
  }
  return [...tables, ...indexes].join('\n')
}

const namesOf = (list: string) => list.split(', ')

function columnSql([, name = '', type = '', optional, attributes = '']: readonly (string | undefined)[]): string {
  const native = /@db\.(\w+(?:\(\d+\))?)/.exec(attributes)?.[1]?.toUpperCase()
  const fallback = /@default\((now\(\)|[^)]*)\)/.exec(attributes)?.[1]
  const required = optional ? '' : ' NOT NULL'
  return `    ${quoted(name)} ${native ?? TYPES[type]}${required}${fallback === undefined ? '' : ` DEFAULT ${defaultSql(fallback)}`},`
}

function defaultSql(fallback: string): string {
  if (fallback === 'now()') return 'CURRENT_TIMESTAMP'
  return fallback.startsWith('"') ? literal(fallback.slice(1, -1)) : fallback
}
