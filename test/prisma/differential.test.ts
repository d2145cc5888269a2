import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { serials } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { createDatabase, type Database } from '../support/database.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { type Sample, sampleOf } from '../support/value-arbitraries.js'
import { schemaOfKinds, tablesOfKinds, UNREADABLE, VALUE_KINDS, type ValueKind } from '../support/value-kinds.js'

/*
 * Every scalar type and native type, written by Prisma and by every path of this package: the same
 * text is in the table afterwards, or both have refused. `npm run test:differential -- --minutes 5`
 * goes on for longer; DIFFERENTIAL_SEED repeats a run.
 */
// One seed in the tests, so that a change is judged and not chance; the script takes another one each time.
const seed = Number(process.env.DIFFERENTIAL_SEED ?? 20261129)
const until = Date.now() + Number(process.env.DIFFERENTIAL_MINUTES ?? 0) * 60_000

// biome-ignore lint/suspicious/noExplicitAny: the models are made for the test
type Client = any
type Delegate = Client

/** The outcome of a value: the text in the table, or why there is none. */
type Outcome = { readonly stored: string | null } | { readonly refused: string }

let database: Database
let plain: Client
let db: Client

beforeAll(async () => {
  console.log(`differential test: DIFFERENTIAL_SEED=${seed}`)
  database = await createDatabase(inject('serverUrl'), inject('template'))
  await database.query(tablesOfKinds())
  // Far from UTC: a moment that goes through the session's zone otherwise than Prisma's does shows.
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''America/New_York''', current_database()); END $$`,
  )
  const { PrismaClient } = await generateClient(schemaOfKinds(), afterAll)
  plain = new PrismaClient({
    adapter: new PrismaPg({ connectionString: database.url, max: 5 }),
    errorFormat: 'minimal',
  })
  const unit = { serial: { model: 'Unit' }, allocation: { model: 'UnitAllocation' } } as const
  db = plain.$extends(concurrency()).$extends(serials(unit as never))
})
afterAll(async () => {
  await plain?.$disconnect()
  await database?.drop()
})

const named = (model: string) => model.charAt(0).toLowerCase() + model.slice(1)

async function storedOf(table: string, key: string, column = 'value'): Promise<Outcome> {
  const name = table === 'Unit' ? 'number' : 'code'
  const [row] = await plain.$queryRawUnsafe(`SELECT "${column}"::text AS text FROM "${table}" WHERE ${name} = $1`, key)
  return row ? { stored: row.text } : { refused: 'there is no row' }
}

/** Runs a write, and looks what it has left. */
async function outcomeOf(write: () => PromiseLike<unknown>, look: () => Promise<Outcome>): Promise<Outcome> {
  try {
    await write()
  } catch (error) {
    return { refused: String(error) }
  }
  return look()
}

interface Path {
  readonly name: string
  /** Whether only a statement of ours can write it, so that a value that Prisma distorts is refused. */
  readonly isRaw: boolean
  run(model: string, samples: readonly Sample[]): Promise<Outcome[]>
}

/** A path that updates a new row with each value. */
function updating(
  name: string,
  isRaw: boolean,
  update: (db: Client, model: string, code: string, value: unknown) => unknown,
  atOnce = false,
): Path {
  const one = async (model: string, { value }: Sample) => {
    const code = randomUUID()
    await plain[named(model)].create({ data: { code }, ...ONLY_ID })
    return () =>
      outcomeOf(
        () => update(db, model, code, value) as PromiseLike<unknown>,
        () => storedOf(model, code),
      )
  }
  return { name, isRaw, run: (model, samples) => inTurnOrAtOnce(samples, (sample) => one(model, sample), atOnce) }
}

/** A path that inserts a row with each value. */
function inserting(
  name: string,
  insert: (model: string, code: string, value: unknown) => unknown,
  atOnce = false,
): Path {
  const one = async (model: string, { value }: Sample) => {
    const code = randomUUID()
    return () =>
      outcomeOf(
        () => insert(model, code, value) as PromiseLike<unknown>,
        () => storedOf(model, code),
      )
  }
  return {
    name,
    isRaw: false,
    run: (model, samples) => inTurnOrAtOnce(samples, (sample) => one(model, sample), atOnce),
  }
}

async function inTurnOrAtOnce(
  samples: readonly Sample[],
  prepare: (sample: Sample) => Promise<() => Promise<Outcome>>,
  atOnce: boolean,
): Promise<Outcome[]> {
  const ready = []
  for (const sample of samples) ready.push(await prepare(sample))
  if (atOnce) return Promise.all(ready.map((run) => started(run())))
  const outcomes = []
  for (const run of ready) outcomes.push(await run())
  return outcomes
}

/** Prisma writes some lists that it cannot read back. */
const ONLY_ID = { select: { id: true } }

const byCode = (code: string) => ({ code, version: 0 })
const many = (db: Delegate, code: string, value: unknown) =>
  db.updateManyVersioned([{ where: byCode(code), data: { value } }])

const PATHS: readonly Path[] = [
  updating('updateVersioned with an object', false, (db, model, code, value) =>
    db[named(model)].updateVersioned({ where: byCode(code), data: { value }, ...ONLY_ID }),
  ),
  updating('updateVersioned with a function', false, (db, model, code, value) =>
    db[named(model)].updateVersioned({ where: { code }, data: () => ({ value }), ...ONLY_ID }),
  ),
  updating(
    'updateVersioned in one tick',
    false,
    (db, model, code, value) => db[named(model)].updateVersioned({ where: byCode(code), data: { value }, ...ONLY_ID }),
    true,
  ),
  updating('updateVersioned in a transaction', false, (db, model, code, value) =>
    db.$transaction((tx: Client) =>
      tx[named(model)].updateVersioned({ where: byCode(code), data: { value }, ...ONLY_ID }),
    ),
  ),
  updating('updateManyVersioned', true, (db, model, code, value) => many(db[named(model)], code, value)),
  updating('updateManyVersioned in a transaction', true, (db, model, code, value) =>
    db.$transaction((tx: Client) => many(tx[named(model)], code, value)),
  ),
  inserting('createIdempotent', (model, code, value) =>
    db[named(model)].createIdempotent({ where: { code }, data: { value }, ...ONLY_ID }),
  ),
  inserting(
    'createIdempotent in one tick',
    (model, code, value) => db[named(model)].createIdempotent({ where: { code }, data: { value }, ...ONLY_ID }),
    true,
  ),
  inserting('createIdempotent in a transaction', (model, code, value) =>
    db.$transaction((tx: Client) =>
      tx[named(model)].createIdempotent({ where: { code }, data: { value }, ...ONLY_ID }),
    ),
  ),
]

const ORACLES = {
  update: updating('update', false, (_db, model, code, value) =>
    plain[named(model)].update({ where: { code }, data: { value }, ...ONLY_ID }),
  ),
  create: inserting('create', (model, code, value) =>
    plain[named(model)].create({ data: { code, value }, ...ONLY_ID }),
  ),
}

/** The values of serials: in the columns of one model that has a column of every kind. */
const SERIALS: Path = {
  name: '$serials',
  isRaw: true,
  run: (model, samples) =>
    inTurnOrAtOnce(
      samples,
      async ({ value }) => {
        const number = randomUUID()
        const data = { [model]: value }
        return () =>
          outcomeOf(
            async () => {
              const one = { transactionId: randomUUID(), data: { ...data, code: number }, numbers: [number] }
              await db.$serials.import(one)
              await db.$serials.allocate({ transactionId: randomUUID(), where: { code: number }, count: 1, data })
            },
            () => storedOf('Unit', number, model),
          )
      },
      false,
    ),
}

function differences(
  path: Path,
  samples: readonly Sample[],
  ours: readonly Outcome[],
  theirs: readonly Outcome[],
): string[] {
  return samples.flatMap(({ value, isHonest }, i) => {
    const [own, oracle] = [ours[i] as Outcome, theirs[i] as Outcome]
    const isSame = 'stored' in own ? 'stored' in oracle && own.stored === oracle.stored : 'refused' in oracle
    const mayRefuse =
      path.isRaw && !isHonest && 'refused' in own && /INVALID_ARGUMENT|InvalidArgument/.test(own.refused)
    if (isSame || mayRefuse) return []
    return [`${path.name} of ${fc.stringify(value)}: ${JSON.stringify(own)}, but Prisma: ${JSON.stringify(oracle)}`]
  })
}

async function check(kind: ValueKind, model: string, samples: readonly Sample[]): Promise<void> {
  const updated = await ORACLES.update.run(model, samples)
  const created = await ORACLES.create.run(model, samples)
  const found: string[] = []
  for (const path of PATHS) {
    if (UNREADABLE.has(model) && path.name.endsWith('function')) continue
    const oracle = path.name.startsWith('create') ? created : updated
    found.push(...differences(path, samples, await path.run(model, samples), oracle))
  }
  if (!UNREADABLE.has(model)) {
    found.push(...differences(SERIALS, samples, await SERIALS.run(model, samples), updated))
  }
  if (found.length > 0) throw new Error(`${kind.type} ${kind.native}:\n${found.join('\n')}`)
}

describe('a replay brings the same, by what the database has made of it:', () => {
  const twice = async (model: string, first: unknown, second: unknown) => {
    const code = randomUUID()
    const call = (value: unknown) =>
      db[named(model)].createIdempotent({ where: { code }, data: { value }, match: ['value'], ...ONLY_ID })
    await call(first)
    return call(second)
  }

  test.each<[model: string, first: unknown, second: unknown]>([
    ['OneUuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'],
    ['OneUuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{A0EEBC999C0B4EF8BB6D6BB9BD380A11}'],
    ['OneChar', 'ab', 'ab'],
    ['OneChar', 'ab', 'ab   '],
    ['OneVarChar', 'abcde   ', 'abcde   '],
    ['OneSecond', new Date('2026-03-08T07:30:00.623Z'), '2026-03-08T08:30:00.623+01:00'],
    ['OneTimestamp', '2026-03-08T07:30:00.123456Z', '2026-03-08T07:30:00.123456Z'],
    ['OneTimeSecond', new Date('2026-03-08T07:30:00.623Z'), new Date('2026-03-08T07:30:00.623Z')],
    ['OneTime', new Date('2026-03-08T07:30:00.623Z'), new Date('1970-01-01T07:30:00.623Z')],
    ['OneTimetz', new Date('2026-03-08T07:30:00.623Z'), new Date('1970-01-01T07:30:00.623Z')],
    ['OneDay', new Date('2026-03-08T07:30:00Z'), new Date('2026-03-08T23:00:00Z')],
    ['OneInet', '10.0.0.1', '10.0.0.1/32'],
    ['OneMoney', 1.005, '1.005'],
    ['OneCitext', 'Ab', 'aB'],
    ['OneReal', 0.1 + 0.2, 0.3],
    ['OnePrice', '1.005', 1.01],
    ['OneNumeric', 0.1 + 0.2, '0.3'],
    ['OneJsonText', { b: 1, a: [2] }, { a: [2], b: 1 }],
    ['OneJsonB', { b: 1, a: [2] }, { a: [2], b: 1 }],
    ['OneXml', '<a/>', '<a/>'],
    ['OneBit', '1010', 'xA'],
    ['ManyUuid', ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'], ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']],
    ['ManyReal', [0.1 + 0.2], { set: [0.1 + 0.2] }],
    ['ManyJsonB', [{ b: 1, a: 2 }], [{ a: 2, b: 1 }]],
  ])('%s: %o and %o', async (model, first, second) => {
    expect(await twice(model, first, second)).toMatchObject({ replayed: true })
  })

  test.each<[model: string, first: unknown, second: unknown]>([
    ['OneUuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12'],
    ['OneChar', 'ab', 'ac'],
    ['OneVarChar', 'ab', 'ab '],
    ['OneSecond', new Date('2026-03-08T07:30:00Z'), new Date('2026-03-08T07:30:00.500Z')],
    ['OneInet', '10.0.0.1', '10.0.0.1/24'],
    ['OneReal', 0.1, 0.11],
    ['OnePrice', '1.005', '1.004'],
    ['OneText', 'a', 'A'],
    ['OneJsonText', { a: [1, 2] }, { a: [2, 1] }],
    ['OneXml', '<a/>', '<b/>'],
    ['ManyReal', [0.1, 0.2], [0.2, 0.1]],
  ])('but %s: %o is not %o', async (model, first, second) => {
    const error = await rejectionOf(twice(model, first, second))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['value'] })
  })

  test('in a transaction of the caller, which goes on after a mismatch', async () => {
    const where = { code: randomUUID() }
    await db.oneUuid.createIdempotent({ where, data: { value: randomUUID().toUpperCase() } })
    const value = await db.$transaction(async (tx: Client) => {
      const call = tx.oneUuid.createIdempotent({ where, data: { value: randomUUID().toUpperCase() }, match: ['value'] })
      expect(await rejectionOf(call)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
      return (await tx.oneUuid.findUnique({ where })).value
    })
    expect(value).toEqual(expect.any(String))
  })
})

describe.each(VALUE_KINDS)('$type $native ($name)', (kind) => {
  test.each([
    ['a value', false],
    ['a list', true],
  ])('%s is stored as Prisma stores it, by every path', async (_, isList) => {
    const model = `${isList ? 'Many' : 'One'}${kind.name}`
    const samples = fc.array(sampleOf(kind, isList), { minLength: 3, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(samples, (samples) => check(kind, model, samples)),
      { seed, numRuns: Number(process.env.DIFFERENTIAL_RUNS ?? 1), endOnFailure: true },
    )
  })
})

test.runIf(until > Date.now())('the same, for as long as was asked for', { timeout: 0 }, async () => {
  for (let round = 1; Date.now() < until; round++) {
    for (const kind of VALUE_KINDS) {
      for (const isList of [false, true]) {
        const samples = fc.array(sampleOf(kind, isList), { minLength: 3, maxLength: 3 })
        const property = fc.asyncProperty(samples, (samples) =>
          check(kind, `${isList ? 'Many' : 'One'}${kind.name}`, samples),
        )
        await fc.assert(property, { seed: seed + round, numRuns: 3, endOnFailure: true })
      }
    }
  }
})
