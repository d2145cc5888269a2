import { quoted } from '../sql/sql.js'

const TYPES: Readonly<Record<string, string>> = {
  Int: 'INTEGER',
  BigInt: 'BIGINT',
  String: 'TEXT',
  Boolean: 'BOOLEAN',
  DateTime: 'TIMESTAMPTZ(3)',
}
const MODEL = /^model (.+) {\n([\s\S]*?)^}/gm
const FIELD = /^ {2}(\w+) +(\w+)(\??)(?: +@(?:(id)|default\((.+?)\)))?(?: |$)/gm
const KEY = /@@(id|unique|index)\(\[(.+)\]/g

/**
 * The SQL that Prisma makes of models that this package has printed. It knows what those without options have, and no
 * more: `migrationOf` knows all that a schema can have, and is loaded when it is called.
 */
export function sqlOfModels(schema: string): string {
  const indexes: string[] = []
  const tables = Array.from(schema.matchAll(MODEL), ([, model = '', text = '']) => {
    const keys = Array.from(text.matchAll(KEY), ([, kind = '', list = '']) => ({ kind, names: list.split(', ') }))
    const lines = Array.from(text.matchAll(FIELD), ([, name = '', type = '', optional, id, fallback]) => {
      if (id) keys.push({ kind: id, names: [name] })
      const value = fallback?.replace('now()', 'CURRENT_TIMESTAMP').replaceAll('"', "'")
      return `    ${quoted(name)} ${TYPES[type]}${optional ? '' : ' NOT NULL'}${value ? ` DEFAULT ${value}` : ''}`
    })
    for (const { kind, names } of keys) {
      const nameOf = (suffix: string) => quoted([model, ...names].join('_') + suffix)
      const [index, unique] = kind === 'index' ? [nameOf('_idx'), ''] : [nameOf('_key'), 'UNIQUE ']
      const columns = names.map(quoted)
      if (kind === 'id') lines.push(`\n    CONSTRAINT ${quoted(`${model}_pkey`)} PRIMARY KEY (${columns})`)
      else indexes.push(`-- CreateIndex\nCREATE ${unique}INDEX ${index} ON ${quoted(model)}(${columns.join(', ')});\n`)
    }
    return `-- CreateTable\nCREATE TABLE ${quoted(model)} (\n${lines.join(',\n')}\n);\n`
  })
  return [...tables, ...indexes].join('\n')
}
