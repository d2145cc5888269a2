import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { series } from '../../src/series/extension.js'
import { type Format, parseFormat } from '../../src/series/format.js'
import type { SeriesOptions } from '../../src/series/options.js'
import { seriesSchema, seriesSql } from '../../src/series/schema.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

test('the printed models and SQL are those of the schema and the migration of these tests', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const file = new URL('../../prisma/migrations/20261124000004_series/migration.sql', import.meta.url)

  expect(schema).toContain(seriesSchema())
  expect(await readFile(file, 'utf8')).toContain(seriesSql())
})

test('models of other names are printed with these names', () => {
  expect(seriesSchema('Counter', 'Given')).toMatch(/^model Counter \{.*^model Given \{/ms)
  expect(seriesSql('Counter', 'Given')).toMatch(
    /TABLE "Counter".*"Counter_pkey".*TABLE "Given".*"Given_pkey".*ON "Given"/s,
  )
})

describe('a format', () => {
  test.each([
    { format: '{0}', highest: 9_223_372_036_854_775_807n, unit: undefined },
    { format: '{00}', highest: 99n, unit: undefined },
    { format: '{000000000000000000}', highest: 999_999_999_999_999_999n, unit: undefined },
    { format: 'INV-{yyyy}-{000000}', highest: 999_999n, unit: 'year' },
    { format: '{000}/{yy}', highest: 999n, unit: 'year' },
    { format: '{MM}.{yy}:{000}', highest: 999n, unit: 'month' },
    { format: '{yyyy}{MM}{dd}{00}', highest: 99n, unit: 'day' },
  ])('$format ends at $highest and begins again each $unit', ({ format, highest, unit }) => {
    expect(parseFormat(format)).toMatchObject({ highest, unit })
  })

  test.each([
    { format: '', says: 'must not be empty' },
    { format: 'INV', says: 'has no place for the number' },
    { format: '{yyyy}', says: 'has no place for the number' },
    { format: '{{0}}', says: 'has no place for the number' },
    { format: '{}', says: 'has {}, which means nothing' },
    { format: '{YYYY}-{0}', says: 'has {YYYY}, which means nothing' },
    { format: '{0 }', says: 'has {0 }, which means nothing' },
    { format: '{toString}{0}', says: 'has {toString}, which means nothing' },
    { format: '{0}{000}', says: 'has two places for the number' },
    { format: '{0000000000000000000}', says: 'has room for more than 18 digits' },
    { format: '{0', says: 'has a brace without its other half' },
    { format: '0}{0}', says: 'has a brace without its other half' },
    { format: '{{0}', says: 'has a brace without its other half' },
    { format: '{ {0} }', says: 'has a brace without its other half' },
    { format: '{MM}{0}', says: 'has {MM} without {yyyy} or {yy}' },
    { format: '{yyyy}{dd}{0}', says: 'has {dd} without {MM}' },
    { format: 'a\0{0}', says: 'must not contain a NUL' },
  ])('$format is refused: $says', ({ format, says }) => {
    expect(() => series({ series: { invoice: { format } } })).toThrow(
      expect.objectContaining({
        code: 'CONFIGURATION',
        issues: expect.arrayContaining([{ path: 'series.invoice.format', message: expect.stringContaining(says) }]),
      }),
    )
  })

  test.each([
    { format: 'plain {0} text', text: 'plain 7 text' },
    { format: '{{{00}}}', text: '{07}' },
    { format: '}}{0}{{', text: '}7{' },
    { format: '"quoted" \\ {000} \\"', text: '"quoted" \\ 007 \\"' },
    { format: 'YYYY MM TM FM TH {0} DD"', text: 'YYYY MM TM FM TH 7 DD"' },
    { format: "'; DROP TABLE x; -- {0} 😀%s$1\n", text: "'; DROP TABLE x; -- 7 😀%s$1\n" },
    { format: '{dd}/{MM}/{yy} {yyyy}: {0000}', text: '09/02/04 2004: 0007' },
    { format: '{yyyy}{MM}{dd}{0}', text: '200402097' },
  ])('$format writes $text, gapless and in blocks', async ({ format, text }) => {
    const [gapless, inBlocks] = [`gapless ${randomUUID()}`, `blocks ${randomUUID()}`]
    const definition = { format, start: 7 }
    const db = connect().db.$extends(
      series({ series: { [gapless]: definition, [inBlocks]: { ...definition, start: 6, blocks: 3 } } }),
    )
    const at = new Date('2004-02-09T10:00:00Z')
    // In the transaction a number of the block comes from memory: one that takes long to fetch is not waited for.
    await db.$series.next(inBlocks, { at })
    const [taken, noted] = [1, 2].map((year) => new Date(Date.UTC(2004, 1, 9, year)))
    const unit = (parseFormat(format) as Format).unit

    const texts = await db.$transaction(async (tx) => [
      (await tx.$series.next(gapless, { at: taken })).text,
      (await tx.$series.next(inBlocks, { at })).text,
    ])
    await database.query('UPDATE "Series" SET last = 6 WHERE name = $1', [gapless])
    const once = await db.$transaction((tx) => tx.$series.next(gapless, { at: noted, transactionId: 'a' }))

    expect([...texts, once.text]).toEqual([text, text, text])
    expect(once.period).toBe({ day: '2004-02-09', month: '', year: '', none: '' }[unit ?? 'none'])
  })

  test('that allows any number of digits writes all of them', async () => {
    const db = connect().db.$extends(series())
    const name = randomUUID()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 9)`, [name])

    expect(await db.$transaction((tx) => tx.$series.next(name))).toMatchObject({ text: '10' })
    expect(await db.$transaction((tx) => tx.$series.next(name, { transactionId: 'a' }))).toMatchObject({ text: '11' })
  })
})

describe('options', () => {
  test.each([
    { options: { seires: {} }, path: 'seires', says: 'is not an option' },
    { options: { series: { a: { fromat: '{0}' } } }, path: 'series.a.fromat', says: 'is not an option' },
    { options: { series: { a: { format: 7 } } }, path: 'series.a.format', says: 'must be a string' },
    { options: { series: { a: 'x' } }, path: 'series.a', says: 'must be an object' },
    { options: { series: { a: { start: -1 } } }, path: 'series.a.start', says: 'must not be negative' },
    { options: { series: { a: { start: -1n } } }, path: 'series.a.start', says: 'must not be negative' },
    { options: { series: { a: { start: 1.5 } } }, path: 'series.a.start', says: 'whole number' },
    { options: { series: { a: { blocks: 0 } } }, path: 'series.a.blocks', says: 'at least 1' },
    { options: { series: { a: { blocks: 1.5 } } }, path: 'series.a.blocks', says: 'whole number' },
    { options: { series: { a: { timeZone: 'Vienna' } } }, path: 'series.a.timeZone', says: "'Europe/Vienna'" },
    { options: { series: { a: { timeZone: 'Europe/Wien' } } }, path: 'series.a.timeZone', says: "'Europe/Vienna'" },
    { options: { series: { a: { timeZone: '+02:00' } } }, path: 'series.a.timeZone', says: "'Europe/Vienna'" },
    { options: { series: { a: { timeZone: 'CET' } } }, path: 'series.a.timeZone', says: "'Europe/Vienna'" },
    { options: { counter: { model: '' } }, path: 'counter.model', says: 'must not be empty' },
  ])('that are none are refused at once: $path $says', ({ options, path, says }) => {
    expect(() => series(options as unknown as SeriesOptions)).toThrow(
      expect.objectContaining({
        code: 'CONFIGURATION',
        issues: expect.arrayContaining([{ path, message: expect.stringContaining(says) }]),
      }),
    )
  })

  test('that do not fit the schema are refused when the client is extended, all mistakes at once', () => {
    const { db } = connect()
    const extension = series({
      series: { a: { format: '{00}', start: 100 } },
      counter: { model: 'Release', name: 'version', period: 'id', last: 'nothing' },
      number: { model: 'Nowhere' },
    })

    expect(() => db.$extends(extension)).toThrow(
      expect.objectContaining({
        code: 'CONFIGURATION',
        issues: expect.arrayContaining([
          { path: 'counter.period', message: 'Release.period must be String, and is Int'.replace('.period', '.id') },
          { path: 'counter.last', message: 'Release has no field nothing' },
          { path: 'number.model', message: expect.stringContaining('there is no model Nowhere') },
          { path: 'series.a.start', message: 'must be at most 99, where the series ends' },
        ]),
      }),
    )
  })

  test.each([
    {
      what: 'a counter without its unique key',
      options: { counter: { model: 'VoucherCounter', name: 'kind', period: 'kind', last: 'count' } },
      path: 'counter.model',
      says: '@@unique([kind, kind])',
    },
    {
      what: 'a number that could be noted twice',
      options: {
        number: {
          model: 'Voucher',
          series: 'kind',
          transactionId: 'reference',
          period: 'label',
          value: 'position',
          text: 'span',
        },
      },
      path: 'number.model',
      says: '@@unique([kind, label, position])',
    },
    {
      what: 'a uuid as a period',
      options: {
        number: {
          model: 'Voucher',
          series: 'kind',
          transactionId: 'reference',
          period: 'reference',
          value: 'position',
          text: 'span',
        },
      },
      path: 'number.period',
      says: 'must not be @db.Uuid',
    },
    {
      what: 'a model that needs more than is written',
      options: { counter: { model: 'Document', name: 'title', period: 'title', last: 'revision' } },
      path: 'counter.model',
      says: 'Document.id is required',
    },
  ])('with $what are refused', ({ options, path, says }) => {
    expect(() => connect().db.$extends(series(options))).toThrow(
      expect.objectContaining({ issues: expect.arrayContaining([{ path, message: expect.stringContaining(says) }]) }),
    )
  })
})

describe('models of other names, with numbers of an Int', () => {
  const withVouchers = (definitions?: SeriesOptions['series']) =>
    connect().db.$extends(
      series({
        series: definitions,
        counter: { model: 'VoucherCounter', name: 'kind', period: 'span', last: 'count' },
        number: {
          model: 'Voucher',
          series: 'kind',
          transactionId: 'reference',
          period: 'span',
          value: 'position',
          text: 'label',
        },
      }),
    )

  test('are used, gapless and in blocks, and their @updatedAt is kept', async () => {
    const db = withVouchers({ voucher: { format: 'V{yyyy}/{0}' }, fast: { blocks: 5 } })
    const [id, other] = [randomUUID(), randomUUID()]
    const at = new Date('2026-05-05')
    const started = new Date()

    const numbers = await db.$transaction(async (tx) => [
      await tx.$series.next('voucher', { at }),
      await tx.$series.next('voucher', { at, transactionId: id }),
      await tx.$series.next('voucher', { at, transactionId: id }),
    ])
    const fast = await db.$series.next('fast', { transactionId: other })

    expect(numbers.map(({ value, text, replayed }) => [value, text, replayed])).toEqual([
      [1n, 'V2026/1', false],
      [2n, 'V2026/2', false],
      [2n, 'V2026/2', true],
    ])
    expect(fast).toMatchObject({ value: 1n, replayed: false })
    expect(await db.$series.gaps('voucher')).toEqual([{ period: '2026', from: 1n, to: 1n }])
    const stamps = [
      ...(await db.voucherCounter.findMany()).map(({ updatedAt }) => updatedAt),
      ...(await db.voucher.findMany()).map(({ changedAt }) => changedAt),
    ]
    expect(stamps).toHaveLength(4)
    for (const stamp of stamps) expect(Math.abs(stamp.getTime() - started.getTime())).toBeLessThan(600_000)
  })

  test('end where the column ends', async () => {
    const db = withVouchers()
    await db.voucherCounter.create({ data: { kind: 'long', span: '', count: 2_147_483_646 } })

    expect(await db.$transaction((tx) => tx.$series.next('long'))).toMatchObject({ value: 2_147_483_647n })
    expect(await rejectionOf(db.$transaction((tx) => tx.$series.next('long')))).toMatchObject({
      code: 'SERIES_OVERFLOW',
      highest: 2_147_483_647n,
    })
  })

  test('refuse a transaction id that is no uuid before the database does, so that the transaction goes on', async () => {
    const db = withVouchers()

    const number = await db.$transaction(async (tx) => {
      const error = await rejectionOf(tx.$series.next('voucher', { transactionId: 'no uuid' }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'transactionId' })
      return tx.$series.next('after')
    })

    expect(number.value).toBe(1n)
  })
})

test.each([
  { what: 'no name', call: [undefined], field: 'series' },
  { what: 'an empty name', call: [''], field: 'series' },
  { what: 'a NUL in the name', call: ['a\0'], field: 'series' },
  { what: 'a name that is too long', call: ['x'.repeat(1_001)], field: 'series' },
  { what: 'an empty transaction id', call: ['a', { transactionId: '' }], field: 'transactionId' },
  { what: 'null as a transaction id', call: ['a', { transactionId: null }], field: 'transactionId' },
  { what: 'half a character', call: ['a', { transactionId: '\ud83d' }], field: 'transactionId' },
  { what: 'a moment that is none', call: ['a', { at: new Date(Number.NaN) }], field: 'at' },
  { what: 'a moment that is a text', call: ['a', { at: '2026-01-01' }], field: 'at' },
  { what: 'a moment beyond the calendar', call: ['a', { at: new Date('+010000-01-01') }], field: 'at' },
  { what: 'a signal that is none', call: ['a', { signal: {} }], field: 'signal' },
  { what: 'an argument spelled wrong', call: ['a', { transactionID: 'x' }], field: 'transactionID' },
  { what: 'two names', call: ['a', { series: 'b' }], field: 'options' },
  { what: 'options that are none', call: ['a', 'b'], field: 'options' },
])('a call with $what is refused before any SQL', async ({ call, field }) => {
  const { db, statements } = connect()
  const next = db.$extends(series()).$series.next as (...call: unknown[]) => Promise<unknown>

  expect(await rejectionOf(next(...call))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  expect(statements).toEqual([])
})

test('a call whose signal is aborted already does nothing', async () => {
  const db = connect().db.$extends(series())
  const name = randomUUID()

  const value = await db.$transaction(async (tx) => {
    const call = tx.$series.next(name, { signal: AbortSignal.abort(new Error('enough')) })
    expect(await rejectionOf(call)).toMatchObject({ message: 'enough' })
    return (await tx.$series.next(name)).value
  })

  expect(value).toBe(1n)
})
