/**
 * Facts that only the schema's text has: Prisma's runtime data model leaves out nullability,
 * lists, `@updatedAt`, native types, unique keys and the database names of enum values. The text is the one that Prisma
 * itself formatted when it generated the client, one field a line.
 */
export interface SchemaText {
  readonly models: ReadonlyMap<string, ReadonlyMap<string, FieldText>>
  /** Per model, the fields of each of its unique keys, the primary key among them. */
  readonly keys: ReadonlyMap<string, readonly (readonly string[])[]>
  /** Per enum, each value's name in the database. */
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, string>>
}

export interface FieldText {
  readonly isList: boolean
  readonly isOptional: boolean
  readonly isUpdatedAt: boolean
  /** Whether the database itself fills it in: a `uuid()` or `cuid()` is made by Prisma's client. */
  readonly hasDefault: boolean
  /** What stands behind `@db.`, such as `Decimal(12, 2)`. */
  readonly nativeType: string | undefined
  /** On the side of a relation that holds the foreign key: its fields, and those they refer to. */
  readonly foreignKey: ForeignKey | undefined
}

export interface ForeignKey {
  readonly fields: readonly string[]
  readonly references: readonly string[]
}

const BLOCK = /^\s*(model|enum|view|type)\s+(\w+)\s*\{/
const FIELD = /^\s*(\w+)\s+\w+(?:\("[^"]*"\))?(\[\]|\?)?/
const KEY = /^\s*@@(?:id|unique)\(\s*(?:fields:\s*)?\[([^\]]*)\]/
const DATABASE_DEFAULT = /\s@default\((?!\s*(?:uuid|cuid|nanoid|ulid|auto)\()/
const ENUM_VALUE = /^\s*(\w+)(?:.*?@map\(\s*(?:name:\s*)?("(?:[^"\\]|\\.)*")\s*\))?/

export function readSchemaText(text: string): SchemaText {
  const models = new Map<string, Map<string, FieldText>>()
  const keys = new Map<string, string[][]>()
  const enums = new Map<string, Map<string, string>>()
  let ownKeys: string[][] = []
  let fields: Map<string, FieldText> | undefined
  let values: Map<string, string> | undefined

  for (const raw of text.split('\n')) {
    const line = withoutComment(raw)
    const block = BLOCK.exec(line)
    if (block) {
      const [, keyword, name = ''] = block
      if (keyword === 'enum') enums.set(name, (values = new Map()))
      else {
        models.set(name, (fields = new Map()))
        keys.set(name, (ownKeys = []))
      }
    } else if (/^\s*\}/.test(line)) {
      fields = values = undefined
    } else if (fields) {
      const [, name, modifier] = FIELD.exec(line) ?? []
      const [, key] = KEY.exec(line) ?? []
      if (key !== undefined) ownKeys.push(namesIn(key))
      if (name !== undefined) {
        if (/\s@(?:id|unique)\b/.test(line)) ownKeys.push([name])
        fields.set(name, {
          isList: modifier === '[]',
          isOptional: modifier === '?',
          isUpdatedAt: /\s@updatedAt\b/.test(line),
          hasDefault: DATABASE_DEFAULT.test(line),
          nativeType: /\s@\w+\.(\w+(?:\([^)]*\))?)/.exec(line)?.[1],
          foreignKey: foreignKeyOf(line),
        })
      }
    } else if (values) {
      const [, name, mapped] = ENUM_VALUE.exec(line) ?? []
      if (name !== undefined) values.set(name, mapped === undefined ? name : JSON.parse(mapped))
    }
  }
  return { models, keys, enums }
}

/** `a, b(sort: Desc)` is `['a', 'b']`. */
function namesIn(list: string): string[] {
  return list.split(',').map((item) => /\w+/.exec(item)?.[0] ?? '')
}

function foreignKeyOf(line: string): ForeignKey | undefined {
  const names = (argument: string) =>
    new RegExp(`@relation\\(.*?\\b${argument}:\\s*\\[([^\\]]*)\\]`)
      .exec(line)?.[1]
      ?.split(',')
      .map((name) => name.trim())
  const fields = names('fields')
  const references = names('references')
  return fields && references && { fields, references }
}

/** The line up to a `//` that is not inside a string. */
function withoutComment(line: string): string {
  return /^(?:[^"/]|"(?:[^"\\]|\\.)*"|\/(?!\/))*/.exec(line)?.[0] ?? line
}
