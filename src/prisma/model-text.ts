/** A field: its name, its type and its attributes. */
export type FieldLine = readonly [name: string, type: string, attributes?: string]

/** A model that the package prints. */
export interface PrintedModel {
  /** Its end is `Written`: by this package. */
  readonly doc: string
  readonly name: string
  /** The fields that come before all others, each an Int, and first in every key. */
  readonly scope: readonly string[]
  readonly fields: readonly FieldLine[]
  /** Such as `@@id([a, b])`. */
  readonly keys: readonly string[]
}

/** A model in the form that Prisma's formatter gives to a schema. */
export function modelText({ doc, name, scope, fields, keys }: PrintedModel): string {
  const all = [...scope.map((field): FieldLine => [field, 'Int']), ...fields]
  const widthOf = (part: 0 | 1) => Math.max(...all.map((field) => field[part].length))
  const lines = all.map(([field, type, attributes = '']) =>
    `  ${field.padEnd(widthOf(0))} ${type.padEnd(widthOf(1))} ${attributes}`.trimEnd(),
  )
  const first = scope.map((field) => `${field}, `).join('')
  const blocks = keys.map((key) => `  ${key.replace('[', `[${first}`)}`)
  return `/// ${doc} by prisma-extension-concurrency.
model ${name} {
${[...lines, ...(blocks.length > 0 ? ['', ...blocks] : [])].join('\n')}
}
`
}
