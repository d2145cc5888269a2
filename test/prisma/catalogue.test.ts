import { beforeAll, describe, expect, test } from 'vitest'
import type { Model } from '../../src/engine/data-model.js'
import type { PrismaClientLike } from '../../src/prisma/client.js'
import { sessionOf } from '../../src/prisma/client-session.js'
import { Catalogue } from '../../src/sql/catalogue.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

const modelOf = (table: string, schema = 'odd "schema"'): Model => ({
  name: table,
  table,
  schema,
  fields: new Map(),
  keys: [],
  emulatedKeys: new Set<string>(),
  inKeys: new Set(),
  version: undefined,
  omitted: new Set(),
})

const sessionIn = (client: object) => sessionOf(client as PrismaClientLike)

/** A client of its own, and what its table is found to be. */
function connect() {
  const { client, statements } = database.connect({ countsLooks: true })
  return { client, statements, session: sessionIn(client), catalogue: new Catalogue() }
}

const tableOf = async (table: string, schema?: string) => {
  const { catalogue, session } = connect()
  return catalogue.of(modelOf(table, schema), session)
}

beforeAll(async () => {
  await database.query(`
CREATE SCHEMA "odd ""schema""";
SET search_path TO "odd ""schema""";
CREATE TYPE "Odd Status" AS ENUM ('a', 'b');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN needed AS positive NOT NULL;
CREATE DOMAIN codes AS varchar(5)[];
CREATE TABLE "Odd Columns" (
  "An Id" int PRIMARY KEY,
  gone int,
  amount numeric(12, 2) NOT NULL,
  code varchar(5),
  padded char(3),
  flags bit(4),
  at timestamp(3),
  status "Odd Status",
  statuses "Odd Status"[],
  one needed,
  more needed[],
  codes codes,
  twice int GENERATED ALWAYS AS ("An Id" * 2) STORED
);
ALTER TABLE "Odd Columns" DROP COLUMN gone;
CREATE TABLE keys (
  a int NOT NULL, b int NOT NULL, c int, d int, e int UNIQUE DEFERRABLE, f int, g int,
  CONSTRAINT keys_b_a PRIMARY KEY (b, a)
);
CREATE UNIQUE INDEX keys_full ON keys (c, a) INCLUDE (g);
CREATE UNIQUE INDEX keys_part ON keys (d) WHERE c IS NULL;
CREATE UNIQUE INDEX keys_expression ON keys (a, (f + 1));
CREATE INDEX keys_plain ON keys (g);
CREATE TABLE parted (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE watched (
  id int PRIMARY KEY, parent int REFERENCES watched, code text UNIQUE,
  checked int CHECK (checked > 0), counted int, doubled int GENERATED ALWAYS AS (counted * 2) STORED,
  amount numeric, free text, sorted int, flag bool NOT NULL DEFAULT false
);
CREATE INDEX watched_sorted ON watched (sorted);
CREATE DOMAIN filled AS int DEFAULT 7;
CREATE TABLE filled_in (a int, b int DEFAULT 1, c filled, d int GENERATED ALWAYS AS (1) STORED);
CREATE TABLE by_trigger (a int);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER own BEFORE UPDATE ON by_trigger FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TABLE by_rule (a int);
CREATE RULE own AS ON UPDATE TO by_rule DO ALSO NOTIFY changed;
CREATE TABLE drifted (a int);
INSERT INTO drifted VALUES (1), (1);
`)
  // Fails because of the two rows, and leaves an index behind that is not valid.
  await database.query('CREATE UNIQUE INDEX CONCURRENTLY drifted_a ON "odd ""schema""".drifted (a)').catch(() => {})
})

describe('the catalogue', () => {
  test('gives each column with the type to cast to: domains as their base type, types of the user with their schema', async () => {
    const { columns } = await tableOf('Odd Columns')

    const own = '"odd ""schema"""."Odd Status"'
    const column = (type: string, { isRequired = false, isGenerated = false } = {}) => ({
      type,
      isRequired,
      isGenerated,
    })
    const found = Array.from(columns, ([name, { type, isRequired, isGenerated }]) => [
      name,
      column(type, { isRequired, isGenerated }),
    ])
    expect(Object.fromEntries(found)).toEqual({
      'An Id': column('integer', { isRequired: true }),
      amount: column('numeric', { isRequired: true }),
      code: column('character varying'),
      padded: column('bpchar'),
      flags: column('"bit"'),
      at: column('timestamp without time zone'),
      status: column(own),
      statuses: column(`${own}[]`),
      one: column('integer', { isRequired: true }),
      more: column('integer[]'),
      codes: column('character varying[]'),
      twice: column('integer', { isGenerated: true }),
    })
  })

  test('gives each type with its length and scale, too, those of a domain among them', async () => {
    const { columns } = await tableOf('Odd Columns')
    const exact = ['amount', 'code', 'padded', 'flags', 'at', 'one'].map((name) => columns.get(name)?.exactType)
    expect(exact).toEqual([
      'numeric(12,2)',
      'character varying(5)',
      'character(3)',
      'bit(4)',
      'timestamp(3) without time zone',
      'integer',
    ])
  })

  test('says of each column whether a key decides what it holds, and whether anything sees its single states', async () => {
    const { columns } = await tableOf('watched')

    const named = (fact: 'isUnkeyed' | 'isUnconstrained') =>
      [...columns]
        .filter(([, c]) => c[fact])
        .map(([name]) => name)
        .sort()
    expect(named('isUnkeyed')).toEqual(['amount', 'checked', 'counted', 'doubled', 'flag', 'free', 'sorted'])
    expect(named('isUnconstrained')).toEqual(['flag', 'free', 'sorted'])
  })

  test.each([
    ['filled_in', ['a']],
    ['parted', ['id', 'region']],
    ['by_trigger', []],
    ['by_rule', []],
  ])('says which columns of %s are NULL where an INSERT leaves them out', async (table, expected) => {
    const { columns } = await tableOf(table)
    expect([...columns].flatMap(([name, { staysNull }]) => (staysNull ? [name] : []))).toEqual(expected)
  })

  test.each(['by_trigger', 'by_rule', 'parted'])('says of no column of %s that it is free of keys', async (table) => {
    const { columns } = await tableOf(table)
    expect([...columns.values()].filter(({ isUnkeyed }) => isUnkeyed)).toEqual([])
  })

  test('knows the keys that hold for every two rows at every moment, and says of the others why they do not', async () => {
    const { uniqueKeys, unfitIndexes } = await tableOf('keys')

    expect({ uniqueKeys, unfitIndexes }).toEqual({
      uniqueKeys: [
        { columns: ['b', 'a'], isPrimary: true },
        { columns: ['c', 'a'], isPrimary: false },
      ],
      unfitIndexes: [
        { name: 'keys_e_key', columns: ['e'], reason: 'deferrable' },
        { name: 'keys_expression', columns: ['a', null], reason: 'expression' },
        { name: 'keys_part', columns: ['d'], reason: 'partial' },
      ],
    })
  })

  test('does not take an index for a key that could not be built', async () => {
    expect(await tableOf('drifted')).toMatchObject({
      uniqueKeys: [],
      unfitIndexes: [{ name: 'drifted_a', columns: ['a'], reason: 'invalid' }],
    })
  })

  test('knows the key of a partitioned table', async () => {
    expect((await tableOf('parted')).uniqueKeys).toEqual([{ columns: ['id', 'region'], isPrimary: true }])
  })

  test('is asked once for each table', async () => {
    const { catalogue, session, statements } = connect()

    const first = await catalogue.of(modelOf('keys'), session)
    const second = await catalogue.of(modelOf('keys'), session)

    expect({ isSame: first === second, statements: statements.length }).toEqual({ isSame: true, statements: 1 })
  })

  test('names a table that is not there, leaves the transaction as it was, and looks again the next time', async () => {
    const { catalogue, client } = connect()
    const missing = modelOf('late', 'no schema')

    const [error, answer] = await client.$transaction(async (tx) => {
      const session = sessionIn(tx)
      const error = await rejectionOf(catalogue.of(missing, session))
      await tx.$queryRawUnsafe('SELECT 1')
      await tx.$executeRawUnsafe('CREATE SCHEMA "no schema"')
      await tx.$executeRawUnsafe('CREATE TABLE "no schema".late (a int PRIMARY KEY)')
      return [error, await catalogue.of(missing, session)] as const
    })

    expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('"no schema"."late"') })
    expect(answer.uniqueKeys).toEqual([{ columns: ['a'], isPrimary: true }])
  })
})
