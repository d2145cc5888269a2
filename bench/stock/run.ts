/**
 * `$stock.move` against a transaction written by hand, in one run, interleaved. Prints ratios: the
 * times themselves say more about the machine.
 */
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { stock } from '../../dist/erp.js'
import { concurrency } from '../../dist/index.js'
import { PrismaClient } from '../../generated/prisma/client.js'
import { createDatabase } from '../../test/support/database.js'
import { startServer } from '../../test/support/server.js'
import { byHand } from './by-hand.js'

type Move = (transactionId: string, productId: number, quantity: number) => Promise<unknown>
interface Case {
  readonly name: string
  readonly callers: number
  readonly products: number
  /** Moves of each caller in a round. */
  readonly moves: { readonly ours: number; readonly byHand: number }
  /** Connections of the transaction written by hand; several are tried, and the best counts. */
  readonly pools: readonly number[]
  /** What the median ratio must reach, of moves per second. */
  readonly wanted: number
}

const ROUNDS = Number(process.env.ROUNDS ?? 5)
const WARM_UPS = 3
const CASES: readonly Case[] = [
  {
    name: '1 caller, 1 product',
    callers: 1,
    products: 1,
    moves: { ours: 300, byHand: 300 },
    pools: [16],
    wanted: 1 / 1.3,
  },
  {
    name: '16 callers, 1 product',
    callers: 16,
    products: 1,
    moves: { ours: 300, byHand: 40 },
    pools: [16],
    wanted: 10,
  },
  {
    name: '1,000 callers, 1 product',
    callers: 1_000,
    products: 1,
    moves: { ours: 20, byHand: 1 },
    pools: [16],
    wanted: 30,
  },
  {
    name: '1,000 callers, 1,000 products',
    callers: 1_000,
    products: 1_000,
    moves: { ours: 10, byHand: 3 },
    pools: [8, 16, 32],
    wanted: 1,
  },
]

// Prepared statements, as the transaction by hand has them.
const names = new Map<string, string>()
const statementNameGenerator = ({ sql }: { readonly sql: string }): string => {
  const known = names.get(sql)
  if (known !== undefined) return known
  const name = `s${names.size}`
  names.set(sql, name)
  return name
}

const server = await startServer({ durable: true })
try {
  const database = await createDatabase(server.url)
  const base = new PrismaClient({
    adapter: new PrismaPg({ connectionString: database.url, max: 16 }, { statementNameGenerator }),
  })
  const db = base
    .$extends(concurrency())
    .$extends(
      stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
    )
  const ours: Move = (transactionId, productId, quantity) =>
    db.$stock.move({ transactionId, item: { productId, warehouse: 'main' }, quantity })
  await base.stock.createMany({
    data: Array.from({ length: 1_000 }, (_, i) => ({ productId: i + 1, warehouse: 'main', onHand: 1_000_000 })),
  })
  try {
    let isMet = true
    for (const one of CASES) {
      const hands = one.pools.map((size) => byHand(database.url, size))
      const run = {
        ours: () => rate(ours, one, one.moves.ours),
        hands: hands.map(
          ({ move }) =>
            () =>
              rate(move, one, one.moves.byHand),
        ),
      }
      for (const hand of hands) await hand.warmUp()
      for (let i = 0; i < WARM_UPS; i++) await run.ours() // until it is compiled
      await run.hands[0]?.()
      const ratios: number[] = []
      let last = ''
      for (let round = 0; round < ROUNDS; round++) {
        const own = await run.ours()
        const others = []
        for (const hand of run.hands) others.push(await hand())
        ratios.push(own / Math.max(...others))
        last = `${Math.round(own)}/s against ${Math.round(Math.max(...others))}/s in the last round`
      }
      ratios.sort((a, b) => a - b)
      const median = ratios[Math.floor(ratios.length / 2)] as number
      isMet &&= median >= one.wanted
      const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`
      console.log(
        `${one.name}: ${median.toFixed(2)} times the transaction by hand (${spread}; wanted ${one.wanted.toFixed(2)}); ${last}`,
      )
      await Promise.all(hands.map((hand) => hand.end()))
    }
    process.exitCode = isMet ? 0 : 1
  } finally {
    await db.$disconnect()
    await database.drop()
  }
} finally {
  await server.stop()
}

/** Moves per second of all callers together. */
async function rate(move: Move, { callers, products }: Case, moves: number): Promise<number> {
  const begin = performance.now()
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let i = 0; i < moves; i++) await move(randomUUID(), (caller % products) + 1, i % 2 === 0 ? -1 : 1)
    }),
  )
  return (callers * moves) / ((performance.now() - begin) / 1_000)
}
