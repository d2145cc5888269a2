import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { useExtended } from '../support/extended.js'
import { factsOfDatabase, factsOfSchema } from '../support/schema-facts.js'

const { database, connect } = useExtended()

const text = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
const schema = factsOfSchema(text)

describe('the migrations make what the schema describes', () => {
  test('the same tables', async () => {
    const { tables } = await factsOfDatabase(database.query)
    expect(Object.keys(tables).sort()).toEqual(Object.keys(schema.tables).sort())
  })

  test.each(Object.keys(schema.tables))('of "%s" the same columns, keys and foreign keys', async (table) => {
    const { tables } = await factsOfDatabase(database.query)
    expect(tables[table]).toEqual(schema.tables[table])
  })

  test('the same enums, with their values in the same order', async () => {
    const { enums } = await factsOfDatabase(database.query)
    expect(enums).toEqual(schema.enums)
  })
})

describe('the client of the tests is generated from the schema', () => {
  test('its text is the same', () => {
    const { _engineConfig: config } = connect().client as unknown as { _engineConfig: { inlineSchema: string } }
    // Prisma aligns the columns of the text anew.
    const words = (schema: string) => schema.split(/\s+/).join(' ').trim()
    expect(words(config.inlineSchema)).toBe(words(text))
  })

  test('it has a model for every table', () => {
    const { _runtimeDataModel: runtime } = connect().client as unknown as {
      _runtimeDataModel: { models: Record<string, { dbName: string | null }> }
    }
    const tables = Object.entries(runtime.models).map(([name, { dbName }]) => dbName ?? name)
    expect(tables.sort()).toEqual(Object.keys(schema.tables).sort())
    expect(Object.keys(Prisma.ModelName).sort()).toEqual(Object.keys(runtime.models).sort())
  })

  test.each(Object.values(Prisma.ModelName))('a row of %s can be asked for with all its columns', async (model) => {
    const { db } = connect()
    const delegate = db[(model.charAt(0).toLowerCase() + model.slice(1)) as 'note']
    expect(await delegate.findMany()).toEqual([])
  })
})
