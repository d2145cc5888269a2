import { expect, test } from 'vitest'
import type { Field, Model } from '../../src/engine/data-model.js'
import type { Row } from '../../src/engine/session.js'
import { type ComposableTable, composeUpdates, type RowFunction, startState } from '../../src/versioning/compose.js'

const field = (name: string, type: string) =>
  ({ name, column: name, kind: 'scalar', type, isList: false, isOptional: false, isUpdatedAt: false }) as Field
const [stock, version, name] = [field('stock', 'Int'), field('version', 'Int'), field('name', 'String')]
const fields = new Map([stock, version, name].map((each) => [each.name, each]))
const model = { name: 'Product', fields, emulatedKeys: new Set<string>() } as unknown as Model

const column = (isUnconstrained: boolean) => ({
  type: 'integer',
  exactType: 'integer',
  isRequired: true,
  isGenerated: false,
  staysNull: false,
  isUnkeyed: true,
  isUnconstrained,
})
const row: ComposableTable = {
  versioned: { model, version, bumpsPlainWrites: true, highest: 100n, stamps: [] },
  table: {
    columns: new Map([
      ['stock', column(true)],
      ['version', column(true)],
      ['name', column(false)],
    ]),
    uniqueKeys: [],
    unfitIndexes: [],
    hasIndexes: true,
  },
  scalars: [stock, version, name],
}

const functionOf = (change: (record: Row) => unknown): RowFunction => ({
  async ask(record) {
    try {
      return { data: change(record) }
    } catch (error) {
      return { error }
    }
  },
  dataOf: (given) => given as Row,
  retriesOn: (error) => error === 'again',
})
const addOne = functionOf((record) => ({ stock: Number(record.stock) + 1 }))

const start = () => startState({ stock: 5, version: 7, name: 'Chai' })
const compose = (...functions: RowFunction[]) => composeUpdates(start(), functions, row)
const recordsOf = (composed: Awaited<ReturnType<typeof compose>>) =>
  composed.map((each) => ('state' in each ? [each.status, each.state.record.stock, each.state.record.version] : each))

test('each function gets the record as the one before leaves it, and each write adds 1 to the version', async () => {
  const composed = await compose(
    addOne,
    functionOf(() => ({ stock: { increment: 10 } })),
    addOne,
  )

  expect(recordsOf(composed)).toEqual([
    ['updated', 6, 8],
    ['updated', 16, 9],
    ['updated', 17, 10],
  ])
})

test('a function that throws, or leaves the record alone, changes nothing for the next one', async () => {
  const fails = functionOf(() => {
    throw 'sold out'
  })
  const composed = await compose(
    addOne,
    fails,
    functionOf(() => undefined),
    addOne,
  )

  expect(recordsOf(composed)).toEqual([
    ['updated', 6, 8],
    { error: 'sold out' },
    ['unchanged', 6, 8],
    ['updated', 7, 9],
  ])
})

test.each([
  ['writes a column whose single states matter', functionOf(() => ({ name: 'Chang' }))],
  ['gives a sum that its column cannot hold', functionOf(() => ({ stock: { increment: 2 ** 31 - 1 } }))],
  [
    'throws an error that is tried again',
    functionOf(() => {
      throw 'again'
    }),
  ],
  ['is async', { ...addOne, ask: async () => ({ isAsync: true as const }) }],
])('it ends before a function that %s', async (_, alone) => {
  expect(recordsOf(await compose(addOne, alone, addOne))).toEqual([['updated', 6, 8]])
})

test('it ends where the version cannot get any higher', async () => {
  const composed = await composeUpdates(startState({ stock: 5, version: 99, name: '' }), [addOne, addOne], row)

  expect(recordsOf(composed)).toEqual([['updated', 6, 100]])
})

test('a sum is known from a value that was set, so that the write can be guarded by the old value', async () => {
  const [set, sum] = await compose(
    addOne,
    functionOf(() => ({ stock: { decrement: 2 } })),
  )

  expect([set, sum].map((each) => each && 'state' in each && [...each.state.summed])).toEqual([[], [stock]])
})
