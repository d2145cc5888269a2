import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { series } from '../../src/series/extension.js'
import type { SeriesOptions } from '../../src/series/options.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { connect } = useExtended()

describe('a pattern', () => {
  const definitions = {
    '*': { format: 'X{0}' },
    'invoice:*': { format: 'I{0}' },
    'invoice:AT:*': { format: 'A{0}' },
    'invoice:AT:main': { format: 'M{0}', start: 7 },
    'certificate:*': { format: '{0}', document: { model: 'Certificate' } },
  } as const
  const open = () => connect().db.$extends(series({ series: definitions }))

  test.each([
    { name: 'anything', text: 'X1' },
    { name: 'invoice', text: 'X1' },
    { name: 'invoice:', text: 'I1' },
    { name: 'invoice:DE', text: 'I1' },
    { name: 'invoice:AT:shop', text: 'A1' },
    { name: 'invoice:AT:main', text: 'M7' },
  ])('defines the series that it is the most exact one for: $name is $text', async ({ name, text }) => {
    const next = open().$transaction(async (tx) => {
      const number = await tx.$series.next(name)
      await tx.$executeRaw`DELETE FROM "Series" WHERE name = ${name}`
      return number.text
    })

    expect(await next).toBe(text)
  })

  test('gives each series its own numbers, and its documents', async () => {
    const db = open()
    const [one, other] = [`certificate:${randomUUID()}`, `certificate:${randomUUID()}`] as const
    const create = (name: typeof one) => db.$series.create(name, { transactionId: randomUUID(), record: {} })

    expect([await create(one), await create(one), await create(other)]).toMatchObject([
      { text: '1' },
      { text: '2' },
      { text: '1' },
    ])
  })

  test('is no series itself', async () => {
    const error = await rejectionOf(open().$transaction((tx) => tx.$series.next('invoice:*')))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'series' })
  })
})

describe('a fiscal year', () => {
  const open = (definition: NonNullable<SeriesOptions['series']>[string]) => {
    const name = randomUUID()
    const db = connect().db.$extends(series({ series: { [name]: definition } }))
    return { db, name }
  }

  test.each([
    { start: 4, at: '2026-03-31T23:59:59.999Z', text: '2025 25/26 2026 no. 1', period: '2025-04' },
    { start: 4, at: '2026-04-01T00:00:00.000Z', text: '2026 26/27 2027 no. 1', period: '2026-04' },
    { start: 3, at: '2024-02-29T12:00:00.000Z', text: '2023 23/24 2024 no. 1', period: '2023-03' },
    { start: 3, at: '2024-03-01T00:00:00.000Z', text: '2024 24/25 2025 no. 1', period: '2024-03' },
    { start: 12, at: '2026-11-30T12:00:00.000Z', text: '2025 25/26 2026 no. 1', period: '2025-12' },
    { start: 12, at: '2026-12-31T12:00:00.000Z', text: '2026 26/27 2027 no. 1', period: '2026-12' },
    { start: 2, at: '2026-01-31T12:00:00.000Z', text: '2025 25/26 2026 no. 1', period: '2025-02' },
    { start: 1, at: '2026-12-31T12:00:00.000Z', text: '2026 26/26 2026 no. 1', period: '2026' },
  ])('that begins with month $start: $at is $text', async ({ start, at, text, period }) => {
    const { db, name } = open({ format: '{fromyyyy} {fromyy}/{toyy} {toyyyy} no. {0}', fiscalYearStart: start })
    const [gapless, noted] = await db.$transaction(async (tx) => [
      await tx.$series.next(name, { at: new Date(at) }),
      await tx.$series.next(name, { at: new Date(at), transactionId: 'a' }),
    ])

    expect(gapless).toMatchObject({ text, period })
    expect(noted).toMatchObject({ text: text.replace(/1$/, '2'), period })
  })

  test('begins at midnight of the time zone, and once for all of its months', async () => {
    const { db, name } = open({ format: '{fromyy}-{000}', fiscalYearStart: 4, timeZone: 'Europe/Vienna' })
    const texts: string[] = []
    for (const at of ['2026-03-31T21:59:59Z', '2026-03-31T22:00:00Z', '2026-12-31T12:00:00Z', '2027-01-01T12:00:00Z']) {
      texts.push((await db.$transaction((tx) => tx.$series.next(name, { at: new Date(at) }))).text)
    }

    expect(texts).toEqual(['25-001', '26-001', '26-002', '26-003'])
  })

  test('ends a block of numbers', async () => {
    const { db, name } = open({ format: '{fromyyyy}-{000}', fiscalYearStart: 7, blocks: 100 })
    const next = async (at: string) => (await db.$series.next(name, { at: new Date(at) })).text

    expect([
      await next('2026-06-30T12:00:00Z'),
      await next('2025-07-01T12:00:00Z'),
      await next('2026-07-01T00:00:00Z'),
      await next('2027-06-30T12:00:00Z'),
    ]).toEqual(['2025-001', '2025-002', '2026-001', '2026-002'])
  })

  test('may be divided into months', async () => {
    const { db, name } = open({ format: '{fromyy}{toyy}/{MM}/{0}', fiscalYearStart: 4 })
    const next = (at: string) => db.$transaction((tx) => tx.$series.next(name, { at: new Date(at) }))

    expect([await next('2026-03-31T12:00:00Z'), await next('2026-04-01T12:00:00Z')]).toMatchObject([
      { text: '2526/03/1', period: '2026-03' },
      { text: '2627/04/1', period: '2026-04' },
    ])
  })

  test.each([
    { definition: { format: '{yyyy}-{0}', fiscalYearStart: 4 }, path: 'series.a', says: 'needs the fiscal year' },
    { definition: { fiscalYearStart: 4 }, path: 'series.a', says: 'needs the fiscal year' },
    { definition: { format: '{toyy}{0}', fiscalYearStart: 13 }, path: 'series.a.fiscalYearStart', says: 'at most 12' },
    { definition: { format: '{toyy}{0}', fiscalYearStart: 0 }, path: 'series.a.fiscalYearStart', says: 'at least 1' },
  ])('is refused where two could have the same text: $definition', ({ definition, path, says }) => {
    expect(() => series({ series: { a: definition } })).toThrow(
      expect.objectContaining({ issues: [{ path, message: expect.stringContaining(says) }] }),
    )
  })
})
