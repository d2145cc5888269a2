import type { Expression } from '../engine/data-model.js'
import type { SchemaSql } from '../engine/setup.js'
import { ConfigurationError, isConcurrencyError } from '../errors/index.js'
import { literal, quoted } from '../sql/sql.js'
import type { PrismaClientLike } from './client.js'
import { type Layer, layersOf } from './layers.js'
import { type Attribute, type Block, type BlockText, type Entry, parseBlock, splitSchema } from './schema-syntax.js'
import { argumentNamed, argumentOf, attributeOf, mappedName, namesOf, textOf } from './schema-text.js'

type NamedBlock = BlockText & Block

const TYPES: Readonly<Record<string, string>> = {
  Int: 'INTEGER',
  BigInt: 'BIGINT',
  Float: 'DOUBLE PRECISION',
  Decimal: 'DECIMAL(65,30)',
  String: 'TEXT',
  Boolean: 'BOOLEAN',
  DateTime: 'TIMESTAMP(3)',
  Json: 'JSONB',
  Bytes: 'BYTEA',
}
const SERIALS: Readonly<Record<string, string>> = { INTEGER: 'SERIAL', BIGINT: 'BIGSERIAL', SMALLINT: 'SMALLSERIAL' }

/**
 * The SQL that Prisma's own migration makes of models in an empty database.
 *
 * @param text the schema
 * @param wanted the models; default: all
 * @param schema of the database, where a model has none of its own. Default: the one of the connection
 * @throws ConfigurationError for what it would not make as Prisma does, such as an index of another type
 */
export function migrationOf(text: string, wanted?: readonly string[], schema?: string): string {
  return tablesOf(text, schema).migration(wanted)
}

/**
 * The SQL of single parts of the schema, for a database that has others of them. Every name is printed with its schema.
 *
 * @param schema of the database, where a model has none of its own
 */
export function schemaSqlOf(text: string, schema = 'public'): SchemaSql {
  const tables = tablesOf(text, schema)
  return {
    table: (model) => unlessRefused(() => tables.missingTable(model)),
    column: (model, field) => unlessRefused(() => tables.missingColumn(model, field)),
    foreignKey: (model, relation) => unlessRefused(() => tables.missingForeignKey(model, relation)),
  }
}

function unlessRefused(print: () => string | undefined): string | undefined {
  try {
    return print()
  } catch (error) {
    if (isConcurrencyError(error, 'CONFIGURATION')) return undefined
    throw error
  }
}

function tablesOf(text: string, schema: string | undefined): Tables {
  const blocks = splitSchema(text).map((block) => ({ ...block, ...parseBlock(block) }))
  return new Tables(blocks, schema)
}

/**
 * The same of the models in which an extension of this package keeps its rows, as the client has them: with their
 * own names, schemas, columns and types.
 *
 * @throws ConfigurationError if the client does not have the extension
 */
export function migrationFor(client: object, name: Layer['name']): string {
  const layers = isPrisma(client) ? layersOf(client).filter((layer) => layer.name === name) : []
  // Of two with the same name the upper one counts.
  const byName = new Map(
    layers.reverse().map((layer) => [layer.namespace?.name, layer.ownModels ?? layer.models ?? []]),
  )
  const models = [...byName.values()].flat()
  const own = schemaOf(client)
  if (layers.length === 0 || !own) return refuse('the client', `has no ${name}(), whose models the SQL is of`, '')
  return migrationOf(own.text, models, own.schema)
}

/** The schema that a client was generated from, and the one of the database that it works in. */
export function schemaOf(client: object): { readonly text: string; readonly schema: string | undefined } | undefined {
  if (!isPrisma(client)) return undefined
  const { inlineSchema, adapter } = client._engineConfig
  return { text: inlineSchema, schema: adapter?.options?.schema }
}

const isPrisma = (client: object): client is PrismaClientLike => '_engineConfig' in client

class Tables {
  readonly #models: ReadonlyMap<string, NamedBlock>
  readonly #enums: ReadonlyMap<string, NamedBlock>
  readonly #schema: string | undefined
  readonly #hasForeignKeys: boolean

  constructor(blocks: readonly NamedBlock[], schema: string | undefined) {
    const of = (keyword: string) => blocks.filter((block) => block.keyword === keyword)
    this.#models = new Map(of('model').map((block) => [block.name, block]))
    this.#enums = new Map(of('enum').map((block) => [block.name, block]))
    this.#schema = schema
    this.#hasForeignKeys = of('datasource').every(
      ({ entries }) => textOf(entries.find(({ name }) => name === 'relationMode')?.value) !== 'prisma',
    )
  }

  migration(wanted: readonly string[] = [...this.#models.keys()]): string {
    const models = wanted.map((name) => this.#model(name))
    return [
      ...this.#enumsOf(models.flatMap(({ entries }) => entries)).map((type) => this.#enum(type)),
      ...models.map((model) => this.#table(model)),
      ...models.flatMap((model) => this.#indexes(model)),
      ...models.flatMap((model) => model.entries.flatMap((field) => this.#foreignKey(model, field) ?? [])),
    ].join('\n')
  }

  /** A table with its indexes. Its foreign keys refer to tables that may be missing, too. */
  missingTable(name: string): string {
    const model = this.#model(name)
    return [...this.#missingEnums(model.entries), this.#table(model), ...this.#indexes(model)].join('\n')
  }

  missingColumn(name: string, field: string): string {
    const model = this.#model(name)
    const entry = fieldOf(model, field)
    const column = this.#column(model, entry).trim()
    const isFilled = !column.endsWith(' NOT NULL') || column.includes('SERIAL NOT NULL')
    return [
      ...this.#missingEnums([entry]),
      ...(isFilled ? [] : ['-- Where the table has rows, it takes a DEFAULT for them.']),
      `ALTER TABLE ${this.#nameOf(model)} ADD COLUMN ${column};\n`,
    ].join('\n')
  }

  missingForeignKey(name: string, relation: string): string | undefined {
    const model = this.#model(name)
    return this.#foreignKey(model, fieldOf(model, relation))
  }

  #model(name: string): NamedBlock {
    const model = this.#models.get(name) ?? refuse(name, 'is not in the schema', '')
    if (!model.isWhole) refuse(name, 'has a line that is not understood')
    return model
  }

  #enumsOf(fields: readonly Entry[]): NamedBlock[] {
    return [...new Set(fields.flatMap(({ type }) => this.#enums.get(type) ?? []))]
  }

  /** PostgreSQL has no CREATE TYPE IF NOT EXISTS, and another table may have the type already. */
  #missingEnums(fields: readonly Entry[]): string[] {
    return this.#enumsOf(fields).map(
      (type) =>
        `DO $concurrency$ BEGIN\n${this.#enum(type)}EXCEPTION WHEN duplicate_object THEN NULL;\nEND $concurrency$;\n`,
    )
  }

  /** With its schema, unless that is the one that Prisma takes for granted. */
  #nameOf(block: NamedBlock): string {
    const own = textOf(argumentOf(attributeOf(block.attributes, 'schema'), 'map'))
    const schema = own ?? this.#schema
    const isUsual = own === 'public' && this.#schema === undefined
    return schema === undefined || isUsual
      ? quoted(mappedName(block))
      : `${quoted(schema)}.${quoted(mappedName(block))}`
  }

  #enum(type: NamedBlock): string {
    const values = type.entries.map((value) => literal(mappedName(value)))
    return `-- CreateEnum\nCREATE TYPE ${this.#nameOf(type)} AS ENUM (${values.join(', ')});\n`
  }

  #table(model: NamedBlock): string {
    const columns = model.entries
      .filter(({ type }) => !this.#models.has(type))
      .map((field) => this.#column(model, field))
    const [key] = keysOf(model, 'id')
    const name = key && quoted(key.name ?? limited(mappedName(model), '_pkey'))
    const primary = key && `\n    CONSTRAINT ${name} PRIMARY KEY (${key.columns.map(quoted).join(',')})`
    return `-- CreateTable
CREATE TABLE ${this.#nameOf(model)} (
${[...columns, ...(primary ? [primary] : [])].join(',\n')}
);
`
  }

  #column(model: NamedBlock, field: Entry): string {
    const { attributes, isList, isOptional } = field
    const enumType = this.#enums.get(field.type)
    const type =
      (enumType ? this.#nameOf(enumType) : columnType(field)) ?? refuse(model.name, `has the type ${field.type}`)
    const value = argumentOf(attributeOf(attributes, 'default'), 'value')
    if (value?.kind === 'call' && value.name === 'autoincrement') {
      return `    ${quoted(mappedName(field))} ${SERIALS[type] ?? type} NOT NULL`
    }
    const full = isList ? `${type}[]` : type
    const fallback = value && this.#fallback(value, field, full)
    // Prisma makes the columns of lists without NOT NULL.
    const required = isOptional || isList ? '' : ' NOT NULL'
    return `    ${quoted(mappedName(field))} ${full}${required}${fallback ? ` DEFAULT ${fallback}` : ''}`
  }

  #fallback(value: Expression, field: Entry, type: string): string | undefined {
    switch (value.kind) {
      case 'list':
        return `ARRAY[${value.items.map((item) => this.#fallback(item, field, type)).join(', ')}]::${type}`
      case 'text':
        return literal(field.type === 'Bytes' ? hex(value.text) : value.text)
      case 'number':
        return value.text
      case 'name': {
        const enumValue = this.#enums.get(field.type)?.entries.find(({ name }) => name === value.name)
        return enumValue ? literal(mappedName(enumValue)) : value.name
      }
      case 'call':
        if (value.name === 'now') return 'CURRENT_TIMESTAMP'
        // Any other, such as uuid(), is made by Prisma's client.
        return value.name === 'dbgenerated' ? textOf(value.args[0]?.value) : undefined
      case 'record':
        return refuse(field.name, 'has a default that is not understood')
    }
  }

  #indexes(model: NamedBlock): string[] {
    return (['unique', 'index'] as const).flatMap((kind) =>
      keysOf(model, kind).map(({ name, columns, orders }) => {
        const index = name ?? limited([mappedName(model), ...columns].join('_'), kind === 'unique' ? '_key' : '_idx')
        const list = columns.map((column, i) => quoted(column) + orders[i]).join(', ')
        const unique = kind === 'unique' ? 'UNIQUE ' : ''
        return `-- CreateIndex\nCREATE ${unique}INDEX ${quoted(index)} ON ${this.#nameOf(model)}(${list});\n`
      }),
    )
  }

  #foreignKey(model: NamedBlock, { type, isOptional, attributes }: Entry): string | undefined {
    const relation = attributeOf(attributes, 'relation')
    const given = (wanted: string) => argumentNamed(relation, wanted)
    const own = namesOf(given('fields'))
    const other = this.#models.get(type)
    const foreign = namesOf(given('references'))
    if (!this.#hasForeignKeys || !own || !foreign || !other) return undefined
    const columns = own.map((name) => columnOf(model, name))
    const action = (wanted: string) => ACTIONS[namesOf(given(wanted))?.[0] ?? '']
    const isNullable = isOptional && own.every((name) => fieldOf(model, name).isOptional)
    const name = textOf(given('map')) ?? limited([mappedName(model), ...columns].join('_'), '_fkey')
    const references = foreign.map((name) => quoted(columnOf(other, name))).join(', ')
    return `-- AddForeignKey
ALTER TABLE ${this.#nameOf(model)} ADD CONSTRAINT ${quoted(name)} FOREIGN KEY (${columns.map(quoted).join(', ')}) REFERENCES ${this.#nameOf(other)}(${references}) ON DELETE ${action('onDelete') ?? (isNullable ? 'SET NULL' : 'RESTRICT')} ON UPDATE ${action('onUpdate') ?? 'CASCADE'};
`
  }
}

const ACTIONS: Readonly<Record<string, string>> = {
  Cascade: 'CASCADE',
  Restrict: 'RESTRICT',
  NoAction: 'NO ACTION',
  SetNull: 'SET NULL',
  SetDefault: 'SET DEFAULT',
}

interface Key {
  readonly name: string | undefined
  readonly columns: readonly string[]
  /** Behind each column. */
  readonly orders: readonly string[]
}

/** The keys or indexes of a model: those of its fields, and then those of the model. */
function keysOf(model: NamedBlock, kind: 'id' | 'unique' | 'index'): Key[] {
  const ofFields = model.entries.flatMap((field) =>
    field.attributes
      .filter(({ name }) => name === kind)
      .map((attribute) => ({
        name: nameIn(attribute),
        columns: [mappedName(field)],
        orders: [orderIn(model, attribute)],
      })),
  )
  const ofModel = model.attributes
    .filter(({ name }) => name === kind)
    .map((attribute): Key => {
      const fields = argumentOf(attribute, 'fields')
      const items = fields?.kind === 'list' ? fields.items : fields ? [fields] : []
      orderIn(model, { name: kind, args: attribute.args.filter(({ value }) => value !== fields) })
      return {
        name: nameIn(attribute),
        columns: (namesOf(fields) ?? refuse(model.name, `has an @@${kind} that is not understood`)).map((name) =>
          columnOf(model, name),
        ),
        orders: items.map((item) => orderIn(model, { name: kind, args: item.kind === 'call' ? item.args : [] })),
      }
    })
  return [...ofFields, ...ofModel]
}

const nameIn = (attribute: Attribute) => textOf(argumentNamed(attribute, 'map'))

/** The order that the arguments ask for. They may not ask for anything that would be left out here. */
function orderIn(model: NamedBlock, { name: kind, args }: Attribute): string {
  const unknown = args.find(({ name }) => name !== 'map' && name !== 'name' && name !== 'sort')
  if (unknown) refuse(model.name, `has an ${kind} with ${unknown.name ?? 'an argument'} that is not printed here`)
  const sort = args.find(({ name }) => name === 'sort')?.value
  return sort?.kind === 'name' && sort.name === 'Desc' ? ' DESC' : ''
}

function columnType({ type, attributes }: Entry): string | undefined {
  const native = attributes.find(({ name }) => name.includes('.'))
  if (native === undefined) return TYPES[type]
  const name = native.name.slice(native.name.indexOf('.') + 1)
  const args = native.args.map(({ value }) =>
    value.kind === 'number' ? value.text : refuse(type, 'is not understood'),
  )
  return (name === 'DoublePrecision' ? 'DOUBLE PRECISION' : name.toUpperCase()) + (args.length > 0 ? `(${args})` : '')
}

function fieldOf(model: NamedBlock, name: string): Entry {
  return model.entries.find((field) => field.name === name) ?? refuse(model.name, `has no field ${name}`)
}

const columnOf = (model: NamedBlock, name: string) => mappedName(fieldOf(model, name))

/** PostgreSQL takes names of up to 63 bytes. */
function limited(name: string, suffix: string): string {
  let short = name
  while (new TextEncoder().encode(short + suffix).length > 63) short = [...short].slice(0, -1).join('')
  return short + suffix
}

const hex = (base64: string) =>
  `\\x${Array.from(atob(base64), (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('')}`

function refuse(what: string, flaw: string, otherWay = ': print the migration with prisma migrate diff'): never {
  throw new ConfigurationError([{ path: '', message: `${what} ${flaw}${otherWay}` }])
}
