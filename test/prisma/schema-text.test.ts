import { describe, expect, test } from 'vitest'
import { readDataModel } from '../../src/prisma/data-model.js'
import { readSchemaText, type SchemaText } from '../../src/prisma/schema-text.js'
import { useExtended } from '../support/extended.js'

const { connect } = useExtended()

const thing = (...lines: string[]) => readSchemaText(`model Thing {\n${lines.join('\n')}\n}`).models.get('Thing')
const model = (...lines: string[]) => thing(...lines)?.fields
/** The fields of each model. */
const fieldsOf = ({ models }: SchemaText) =>
  Array.from(models.keys(), (name) => [name, [...(models.get(name)?.fields.keys() ?? [])]])
const enumeration = (...lines: string[]) => {
  const values = readSchemaText(`enum Kind {\n${lines.join('\n')}\n}`).enums.get('Kind')
  return values && Object.fromEntries(values)
}

describe('a field', () => {
  test.each([
    ['required', 'a Int', { isList: false, isOptional: false, isUpdatedAt: false }],
    ['optional', 'a Int?', { isList: false, isOptional: true, isUpdatedAt: false }],
    ['a list', 'a Int[]', { isList: true, isOptional: false, isUpdatedAt: false }],
    ['@updatedAt', 'a DateTime @updatedAt', { isList: false, isOptional: false, isUpdatedAt: true }],
    [
      '@updatedAt among others',
      'a DateTime? @default(now()) @updatedAt @map("b")',
      { isOptional: true, isUpdatedAt: true },
    ],
    ['a type of the database', 'a Unsupported("geometry(Point, 4326)")?', { isOptional: true, isList: false }],
    ['written with tabs', '\ta\t\tInt?\t@map("b")', { isOptional: true }],
    [
      'with a comment behind it',
      'a Int? // was @updatedAt, and a list: Int[]',
      { isOptional: true, isUpdatedAt: false },
    ],
    ['with a default that looks like a comment', 'a DateTime @default("https://x") @updatedAt', { isUpdatedAt: true }],
    ['with a default that has quotes', 'a String? @default("say \\"// hi\\"") // @updatedAt', { isUpdatedAt: false }],
    ['with a default that names an attribute', 'a String @default("@updatedAtnoon")', { isUpdatedAt: false }],
  ])('is read when it is %s', (_what, line, expected) => {
    expect(model(line)?.get('a')).toMatchObject(expected)
  })

  test('is not made of comments, of attributes of the model, or of empty lines', () => {
    const fields = model(
      '/// a Int',
      '// b Int',
      '',
      'id Int @id',
      '@@map("x y")',
      '@@unique([id, c])',
      '  ',
      '@@index([id])',
    )
    expect([...(fields?.keys() ?? [])]).toEqual(['id'])
  })
})

describe('a default', () => {
  /** One that Prisma's client makes, by this call. */
  const byClient = (name: string, ...numbers: string[]) => ({
    kind: 'client',
    value: { kind: 'call', name, args: numbers.map((text) => ({ name: undefined, value: { kind: 'number', text } })) },
  })

  test.each([
    ['nothing', 'a Int', { kind: 'none' }],
    ['a number', 'a Int @default(-3)', { kind: 'value', value: { kind: 'number', text: '-3' } }],
    ['a fraction', 'a Decimal @default(-0.50)', { kind: 'value', value: { kind: 'number', text: '-0.50' } }],
    [
      'a text',
      'a String @default("a } // \\"b\\" \\u00e9")',
      { kind: 'value', value: { kind: 'text', text: 'a } // "b" é' } },
    ],
    ['a name', 'a Boolean @default(value: true)', { kind: 'value', value: { kind: 'name', name: 'true' } }],
    ['an empty list', 'a Int[] @default([])', { kind: 'value', value: { kind: 'list', items: [] } }],
    ['the time', 'a DateTime @default( now ( ) )', { kind: 'now' }],
    ['a number of the database', 'a Int @id @default(autoincrement())', { kind: 'autoincrement' }],
    ['an expression of the database', 'a Int @default(dbgenerated("f(1, \\"x\\")"))', { kind: 'database' }],
    ['nothing but what the table has', 'a Int @default(dbgenerated())', { kind: 'database' }],
    ['a uuid', 'a String? @default(uuid())', byClient('uuid')],
    ['a uuid of version 7', 'a String @default(uuid(7))', byClient('uuid', '7')],
    ['a cuid', 'a String @default(cuid(2))', byClient('cuid', '2')],
    ['a nanoid', 'a String @default(nanoid(8))', byClient('nanoid', '8')],
    ['a ulid, behind the name of its constraint', 'a String @default(map: "df", ulid())', byClient('ulid')],
    ['a function of a later Prisma', 'a String @default(snowflake())', { kind: 'unknown' }],
    ['for an attribute of a later Prisma to say', 'a DateTime? @createdAt', { kind: 'unknown' }],
  ])('is %s', (_what, line, expected) => {
    expect(model(line)?.get('a')?.fallback).toEqual(expected)
  })

  test('is that of the field, whatever the comments around it begin with', () => {
    const fields = model(
      'a String? @default(uuid()) // a',
      '// a is the reference',
      '/// a',
      '/* a Int */',
      'b Int // @default(1)',
    )
    expect([fields?.get('a')?.fallback, fields?.get('b')?.fallback]).toEqual([byClient('uuid'), { kind: 'none' }])
  })
})

describe('a native type', () => {
  test.each([
    ['@db.SmallInt', 'SmallInt'],
    ['@db.SmallInt()', 'SmallInt'],
    ['@db.Decimal(10,2)', 'Decimal(10, 2)'],
    ['@db.VarChar( 20 ) @map("b")', 'VarChar(20)'],
    ['@pg.Timestamptz(6)', 'Timestamptz(6)'],
    ['@map("@db.Text")', undefined],
  ])('is read from %s', (attribute, expected) => {
    expect(model(`a Int ${attribute}`)?.get('a')?.nativeType).toBe(expected)
  })
})

describe('a unique key', () => {
  const keys = (...lines: string[]) => thing(...lines)?.keys

  test.each([
    ['@id', ['a Int @id'], 'a', ['a']],
    ['@unique with a name for its index', ['a Int @map("b") @unique(map: "@@id([b])")'], 'a', ['a']],
    ['@@id', ['@@id([a, b])'], 'a_b', ['a', 'b']],
    ['@@id without brackets', ['@@id(a)'], 'a', ['a']],
    ['@@id with its name first', ['@@id(name: "k", fields: [a, b])'], 'k', ['a', 'b']],
    ['@@id with its fields last, and without a name for them', ['@@id(name: "k", [a, b])'], 'k', ['a', 'b']],
    ['@@unique behind the name of its index', ['@@unique(map: "e", fields: [email])'], 'email', ['email']],
    ['@@unique with a name', ['@@unique([a, b], map: "e", name: "k")'], 'k', ['a', 'b']],
    ['@@unique of one field, with a name', ['@@unique([a], name: "k")'], 'a', ['a']],
    ['@@unique with an order', ['@@unique([a(sort: Desc), b(ops: raw("x, y"))])'], 'a_b', ['a', 'b']],
    ['@@unique over lines', ['@@unique(', '  fields: [', '    a, // first', '    b,', '  ],', ')'], 'a_b', ['a', 'b']],
  ])('is read from %s', (_what, lines, name, fields) => {
    expect(keys(...lines)).toEqual([{ name, fields, isPartial: false }])
  })

  test('is none that holds for a part of the rows only, none of a comment, and none of a field that is called like one', () => {
    const lines = [
      'id Int',
      'unique Int',
      '@@unique([a], where: { b: true, c: { not: null } })',
      '@@unique(where: raw("a > 1"), fields: [a])',
      'a Int @unique(where: raw("a > 1"))',
      '// @@id([a])',
      '/* @@id([a]) */',
      '@@index([a])',
    ]
    expect(keys(...lines)?.filter(({ isPartial }) => !isPartial)).toEqual([])
  })
})

describe('a foreign key', () => {
  test.each([
    ['in the usual order', '@relation(fields: [b, c], references: [d, e])'],
    [
      'in another order',
      '@relation("name", references: [d, e], map: "fields: [x]", onDelete: Cascade, fields: [b, c])',
    ],
    ['over lines', '@relation(\n  fields: [b, c],\n  references: [d, e]\n)'],
  ])('is read %s', (_what, attribute) => {
    expect(model(`a B? ${attribute}`)?.get('a')?.foreignKey).toEqual({ fields: ['b', 'c'], references: ['d', 'e'] })
  })
})

describe('what is not understood', () => {
  test('costs its own line, and no other', () => {
    const lines = [
      'a Int @default(',
      'b Int? @unique',
      'c Int => 3',
      'd Int[]',
      '@@future[1]',
      '?',
      'e "x',
      'f String?',
    ]
    expect([...(model(...lines)?.keys() ?? [])]).toEqual(['b', 'd', 'f'])
  })

  test('never takes the brace that ends a model with it', () => {
    const text = readSchemaText('model A {\n  a Int @\n}\nmodel B {\n  b Int\n}')
    expect(fieldsOf(text)).toEqual([
      ['A', []],
      ['B', ['b']],
    ])
  })
})

describe('the relation mode', () => {
  const emulates = (lines: string) => readSchemaText(`datasource db {\n${lines}\n}`).emulatesForeignKeys

  test('is that of foreign keys, unless the datasource says that Prisma stands in for them', () => {
    const usual = ['provider = "postgresql"', 'relationMode = "foreignKeys"', '// relationMode = "prisma"']
    expect(usual.map(emulates)).toEqual(usual.map(() => false))
    expect(emulates('provider = "postgresql"\nschemas = ["a", "b"]\nrelationMode="prisma" // why')).toBe(true)
  })
})

describe('an enum value', () => {
  test('has its own name in the database, unless it is mapped', () => {
    expect(enumeration('PLAIN', 'SPECIAL @map("very special")', 'ODD @map(name: "so odd")')).toEqual({
      PLAIN: 'PLAIN',
      SPECIAL: 'very special',
      ODD: 'so odd',
    })
  })

  test('is read with comments, quotes and backslashes in its name', () => {
    const lines = [
      'A @map("a // b") // c',
      'B @map("say \\"hi\\"")',
      'C @map("a\\\\b")',
      '// D',
      '/// E',
      '@@map("kinds")',
    ]
    expect(enumeration(...lines)).toEqual({ A: 'a // b', B: 'say "hi"', C: 'a\\b' })
  })
})

describe('a schema', () => {
  test('is read block by block, whatever stands between them', () => {
    const text = readSchemaText(`
generator client {
  provider = "prisma-client"
}
datasource db { 
  provider = "postgresql"
}
// model Gone {
//   id Int
// }
model A { // {
  id Int @id // }
  /*
  model Gone {
  } */
} // }
enum E { X
  X
  @@map("e")
  @@schema("s")
} model model {
  model String @default("}")
  enum Unsupported("a } b")?
}
view V {
  id Int?
}
model B{
  id Int[]
}`)
    expect(fieldsOf(text)).toEqual([
      ['A', ['id']],
      ['model', ['model', 'enum']],
      ['V', ['id']],
      ['B', ['id']],
    ])
    expect([...text.enums.keys()]).toEqual(['E'])
  })

  test('has its blocks cut where they end, though there are braces in texts, comments and conditions', () => {
    const text = readSchemaText(`
model A { // }
  a String @default("}{") // }
  /* } */
  b Json   @default("{\\"c\\": {}}")
  @@unique([a, b], where: {
    a: "}"
  })
  @@index([b], map: "{") }
/* model { */ model B{ // in {
  a Int
}`)
    expect(fieldsOf(text)).toEqual([
      ['A', ['a', 'b']],
      ['B', ['a']],
    ])
  })

  test('is read with the line ends of Windows', () => {
    const { models, enums } = readSchemaText('model A {\r\n  at DateTime? @updatedAt\r\n}\r\nenum E {\r\n  X\r\n}\r\n')
    expect(models.get('A')?.fields.get('at')).toMatchObject({ isOptional: true, isUpdatedAt: true })
    expect(enums.get('E')?.get('X')).toBe('X')
  })
})

describe('the data model of a client', () => {
  test('has every field that Prisma has, and each of them in the text of the schema', () => {
    const { client } = connect()
    const dataModel = readDataModel(client as never)
    const text = readSchemaText(
      (client as unknown as { _engineConfig: { inlineSchema: string } })._engineConfig.inlineSchema,
    )
    const names = Array.from(dataModel.keys(), (name) => [name, [...(dataModel.get(name)?.fields.keys() ?? [])]])
    expect(names).toEqual(fieldsOf(text))
  })

  test('knows table, columns and enum values by their names in the database', () => {
    const { client } = connect()
    const everything = readDataModel(client as never).get('Everything')
    expect(everything).toMatchObject({ name: 'Everything', table: 'every thing', schema: 'public' })
    expect(everything?.fields.get('text')).toMatchObject({ column: 'order', type: 'String', isOptional: true })
    expect(everything?.fields.get('tags')).toMatchObject({ column: 'tags', isList: true })
    expect(everything?.fields.get('version')).toMatchObject({ column: 'row version', isOptional: false })
    expect(Object.fromEntries(everything?.fields.get('kind')?.enumValues ?? [])).toEqual({
      PLAIN: 'PLAIN',
      SPECIAL: 'very special',
    })
  })

  test('tells scalars, enums and relations apart', () => {
    const { client } = connect()
    const dataModel = readDataModel(client as never)
    const kind = (model: string, field: string) => dataModel.get(model)?.fields.get(field)?.kind
    expect([kind('Product', 'stock'), kind('Everything', 'kinds'), kind('Product', 'lines')]).toEqual([
      'scalar',
      'enum',
      'relation',
    ])
  })
})
