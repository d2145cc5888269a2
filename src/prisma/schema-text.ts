/**
 * Facts that only the schema's text has: Prisma's runtime data model leaves out nullability,
 * lists, `@updatedAt` and the database names of enum values. The text is the one that Prisma
 * itself formatted when it generated the client, one field a line.
 */
export interface SchemaText {
  readonly models: ReadonlyMap<string, ReadonlyMap<string, FieldText>>
  /** Per enum, each value's name in the database. */
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, string>>
}

export interface FieldText {
  readonly isList: boolean
  readonly isOptional: boolean
  readonly isUpdatedAt: boolean
  /** On the side of a relation that holds the foreign key: its fields, and those they refer to. */
  readonly foreignKey: ForeignKey | undefined
}

export interface ForeignKey {
  readonly fields: readonly string[]
  readonly references: readonly string[]
}

const BLOCK = /^\s*(model|enum|view|type)\s+(\w+)\s*\{/
const FIELD = /^\s*(\w+)\s+\w+(?:\("[^"]*"\))?(\[\]|\?)?/
const ENUM_VALUE = /^\s*(\w+)(?:.*?@map\("((?:[^"\\]|\\.)*)"\))?/

export function readSchemaText(text: string): SchemaText {
  const models = new Map<string, Map<string, FieldText>>()
  const enums = new Map<string, Map<string, string>>()
  let fields: Map<string, FieldText> | undefined
  let values: Map<string, string> | undefined

  for (const raw of text.split('\n')) {
    const line = withoutComment(raw)
    const block = BLOCK.exec(line)
    if (block) {
      const [, keyword, name = ''] = block
      if (keyword === 'enum') enums.set(name, (values = new Map()))
      else models.set(name, (fields = new Map()))
    } else if (/^\s*\}/.test(line)) {
      fields = values = undefined
    } else if (fields) {
      const [, name, modifier] = FIELD.exec(line) ?? []
      if (name !== undefined) {
        fields.set(name, {
          isList: modifier === '[]',
          isOptional: modifier === '?',
          isUpdatedAt: /\s@updatedAt\b/.test(line),
          foreignKey: foreignKeyOf(line),
        })
      }
    } else if (values) {
      const [, name, mapped] = ENUM_VALUE.exec(line) ?? []
      if (name !== undefined) values.set(name, mapped ?? name)
    }
  }
  return { models, enums }
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
