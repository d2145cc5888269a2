import { type Kind, key, num, ours } from './kind.js'
import * as sizes from './sizes.js'

/** The calls of a second ledger: orders that are open, changed and shipped in parts, and what else movements can be. */
export const ORDER_KINDS: readonly Kind[] = [
  ours('open', 4, key, async ({ db }, _, [n]) => {
    const { pallet, quantity } = sizes.orderOf(num(n))
    const order = { transactionId: `order ${n}`, item: pallet, quantity, expiresIn: null }
    return [(await db.$orders.reserve(order)).replayed]
  }),
  ours('change', 2, key, async ({ db }, _, [n]) => {
    const { pallet, changed } = sizes.orderOf(num(n))
    const lines = [{ item: pallet, quantity: changed }]
    return [(await db.$orders.change({ transactionId: `order ${n}`, lines })).state]
  }),
  ours('extend', 1, key, async ({ db }, _, [n]) => {
    await db.$orders.extend({ transactionId: `order ${n}`, expiresIn: 600_000 })
  }),
  ours('part', 4, key, async ({ db }, _, [n]) => {
    const lines = [{ item: sizes.orderOf(num(n)).pallet, quantity: 1 }]
    return [(await db.$orders.fulfil({ transactionId: `part ${n}`, of: `order ${n}`, lines })).replayed]
  }),
  ours('rest', 1, key, async ({ db }, _, [n]) => [
    (await db.$orders.fulfil({ transactionId: `rest ${n}`, of: `order ${n}` })).replayed,
  ]),
  ours('cancel', 1, key, async ({ db }, _, [n]) => [
    (await db.$orders.release({ transactionId: `order ${n}` })).released,
  ]),
  ours('take', 2, key, async ({ db }, _, [n]) => {
    const { pallet, quantity } = sizes.orderOf(num(n))
    const taken = { transactionId: `take ${n}`, item: pallet, quantity: -quantity, take: 'available' } as const
    return [(await db.$orders.move(taken)).replayed]
  }),
  ours('pick', 2, key, async ({ db }, _, [n]) => {
    const items = [0, 1, 2].map((more) => sizes.palletAt(num(n) + more))
    const from = { items, quantity: sizes.orderOf(num(n)).quantity, split: true }
    return [(await db.$orders.moveAll({ transactionId: `pick ${n}`, lines: [{ from }] })).replayed]
  }),
  ours('supply', 5, key, async ({ db }, _, [n]) => {
    const { pallet, quantity } = sizes.orderOf(num(n))
    // Every fourth delivery is of a pallet that is not there, as every other one of the same twenty deliveries.
    const item = num(n) % 4 === 0 ? `new pallet ${Math.floor(num(n) / 20)}` : pallet
    return [(await db.$orders.move({ transactionId: `supply ${n}`, item, quantity, createMissing: true })).replayed]
  }),
  ours(
    'undo',
    2,
    (chance, second) => [...key(chance, second), chance.below(2)],
    async ({ db }, _, [n, which]) => [
      (await db.$orders.reverse({ transactionId: `undo ${n} ${which}`, of: `supply ${n}` })).replayed,
    ],
  ),
  ours('both', 2, key, ({ db }, _, [n]) =>
    db.$transactionWithRetry(async (tx) => {
      const { productId } = sizes.storyOf(num(n))
      const transactionId = `both ${n}`
      await tx.$stock.move({ transactionId, item: { productId, warehouse: 'main' }, quantity: 1 })
      return [(await tx.$orders.move({ transactionId, item: sizes.palletAt(num(n)), quantity: -1 })).replayed]
    }),
  ),
]
