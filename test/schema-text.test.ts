import { describe, expect, test } from 'vitest'
import { readDataModel } from '../src/prisma/data-model.js'
import { readSchemaText } from '../src/prisma/schema-text.js'
import { useExtended } from './support/extended.js'

const { connect } = useExtended()

const model = (...lines: string[]) => readSchemaText(`model Thing {\n${lines.join('\n')}\n}`).models.get('Thing')
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
    const { models, enums } = readSchemaText(`
generator client {
  provider = "prisma-client"
}
datasource db { 
  provider = "postgresql"
}
// model Gone {
//   id Int
// }
model A {
  id Int @id // }
}
enum E {
  X
}
view V {
  id Int?
}
model B{
  id Int[]
}`)
    expect([...models].map(([name, fields]) => [name, [...fields.keys()]])).toEqual([
      ['A', ['id']],
      ['V', ['id']],
      ['B', ['id']],
    ])
    expect([...enums.keys()]).toEqual(['E'])
  })

  test('is read with the line ends of Windows', () => {
    const { models, enums } = readSchemaText('model A {\r\n  at DateTime? @updatedAt\r\n}\r\nenum E {\r\n  X\r\n}\r\n')
    expect(models.get('A')?.get('at')).toMatchObject({ isOptional: true, isUpdatedAt: true })
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
    const names = [...dataModel.values()].map(({ name, fields }) => [name, [...fields.keys()]])
    expect(names).toEqual([...text.models].map(([name, fields]) => [name, [...fields.keys()]]))
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
