import { CORPUS, type CorpusCase, ERP_LAYERS } from './corpus.js'

const INVENTORY = `
export const ledger = () => {
  const item = { warehouse: 'main', code: 'c' }
  // @ts-expect-error: half of a key
  erp.$stock.move({ transactionId: 't', item: { code: 'c' }, quantity: 1 })
  // @ts-expect-error: a field of its own name is not there
  erp.$serials.free({ transactionId: 't' })
  return {
    moved: erp.$stock.move({ transactionId: 't', item, quantity: '1.5' }),
    moves: erp.$stock.moveAll({ transactionId: 't', lines: [{ item, quantity: 2 }] }),
    held: erp.$stock.reserve({ transactionId: 't', lines: [{ item, quantity: 2 }], expiresIn: 1_000 }),
    wrong: erp.$stock.audit(),
    taken: erp.$serials.allocate({ transactionId: 't', where: { state: 'OPEN' }, count: 1, data: { maker: 'x' } }),
    made: erp.$serials.import({ transactionId: 't', numbers: ['x'], data: { state: 'CLOSED' } }),
    number: erp.$transaction((tx) => tx.$series.next('invoice', { transactionId: 't' })),
    gaps: erp.$series.gaps('invoice', { period: '2026' }),
  }
}
type Moved = Awaited<ReturnType<typeof erp.$stock.move>>
export const balance: Is<Moved['balance'], Prisma.Decimal> = true
`

/**
 * A module that a program of the schema `name` might have: it exports clients, and functions that call
 * every method of its models, whose results are left to the compiler to infer.
 */
export function corpusModule(name: string): string {
  const layers = ERP_LAYERS[name as keyof typeof ERP_LAYERS]
  const cases = CORPUS[name] as readonly CorpusCase[]
  return `import type { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { type Prisma, PrismaClient } from './client/client.js'
${layers ? "import { serials, series, stock } from 'prisma-extension-concurrency/erp'\n" : ''}
/** Whether two types are one. */
export type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

declare const adapter: PrismaPg
export const connect = (adapter: PrismaPg) => new PrismaClient({ adapter }).$extends(concurrency())
export const db = connect(adapter)
export type Db = typeof db
${layers ? erpOf(layers) : ''}
${cases.map(callsOf).join('\n')}
${layers ? INVENTORY : ''}`
}

function erpOf({ stock, serials, series }: (typeof ERP_LAYERS)[keyof typeof ERP_LAYERS]): string {
  return `export const erp = db
  .$extends(stock(${JSON.stringify(stock)}))
  .$extends(serials(${JSON.stringify(serials)}))
  .$extends(series(${JSON.stringify(series)}))
export type Erp = typeof erp`
}

function callsOf(each: CorpusCase, index: number): string {
  const { model, where, data = () => ({}), change } = each
  const insert = `{ where: ${JSON.stringify(where(1))}, data: ${JSON.stringify(data(1))} }`
  return `export const calls${index} = () => ({
  created: db.${model}.createIdempotent(${insert}),
  once: db.$idempotent({ key: 'k', scope: 's' }, (tx) => tx.${model}.createIdempotent(${insert})),
  again: db.$transactionWithRetry((tx) => tx.${model}.findMany()),
  alone: db.$withAdvisoryLock('key', (tx) => tx.${model}.count()),
})
${change ? versionedCalls(each, change, index) : unversionedCalls(each, index)}`
}

function versionedCalls({ model, where, isBig }: CorpusCase, change: object, index: number): string {
  const row = JSON.stringify(where(1))
  const guarded = `{ ...${row}, version: ${isBig ? '1n' : '1'} }`
  const data = JSON.stringify(change)
  return `export const versioned${index} = () => ({
  updated: db.${model}.updateVersioned({ where: ${guarded}, data: ${data} }),
  changed: db.${model}.updateVersioned({ where: ${row}, data: () => (${data}), select: { version: true } }),
  tried: db.${model}.tryUpdateVersioned({ where: ${guarded}, data: ${data} }),
  many: db.${model}.updateManyVersioned([{ where: ${guarded}, data: ${data} }]),
  each: db.${model}.updateManyVersioned([{ where: ${guarded}, data: ${data} }], { mode: 'each' }),
  deleted: db.${model}.deleteVersioned({ where: ${guarded} }),
})
type Versioned${index} = ReturnType<typeof versioned${index}>
type Version${index} = Awaited<Versioned${index}['updated'] | Versioned${index}['deleted']>['version']
export const version${index}: Is<Version${index}, ${isBig ? 'bigint' : 'number'}> = true
export const selected${index}: Is<Awaited<Versioned${index}['changed']>, { version: ${isBig ? 'bigint' : 'number'} }> = true
// @ts-expect-error: the version is missing
export const unguarded${index} = () => db.${model}.updateVersioned({ where: ${row}, data: ${data} })
// @ts-expect-error: the version is not the caller's to set
export const set${index} = () => db.${model}.updateVersioned({ where: ${guarded}, data: { version: 2 } })
`
}

function unversionedCalls({ model, where }: CorpusCase, index: number): string {
  const guarded = `{ ...${JSON.stringify(where(1))}, version: 1 }`
  return `// @ts-expect-error: it has no version column
export const update${index} = () => db.${model}.updateVersioned({ where: ${guarded}, data: {} })
// @ts-expect-error: nor for a function
export const change${index} = () => db.${model}.updateVersioned({ where: ${JSON.stringify(where(1))}, data: () => ({}) })
// @ts-expect-error: nor to delete
export const remove${index} = () => db.${model}.deleteVersioned({ where: ${guarded} })
// @ts-expect-error: nor for many
export const many${index} = () => db.${model}.updateManyVersioned([{ where: ${guarded}, data: {} }])
`
}
