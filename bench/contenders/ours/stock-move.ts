/** `$stock.move`, as the guide shows it: the callers of a process are combined. */
import { InsufficientStockError } from '../../../dist/index.js'
import type { Contender } from '../../contender.js'
import { createOursWithStock } from '../../support/ours-client.js'

export default {
  id: 'ours/stock-move',
  title: '$stock.move',
  family: 'ours',
  source: 'docs/guide/stock.md',
  choices:
    'As it comes. Moves of a process that come while one is under way go together in the next statement. A refused ' +
    'move is an InsufficientStockError. It does not tell how often it has tried. Prepared statements.',
  operations: ['move', 'receive'],

  async open(env) {
    const db = createOursWithStock(env)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      try {
        await db.$stock.move({ transactionId, item: itemId, quantity })
        return { retries: 0 }
      } catch (error) {
        if (!(error instanceof InsufficientStockError)) throw error
        return { retries: 0, refused: true }
      }
    }
    return { move, receive: move, close: () => db.$disconnect() }
  },
} satisfies Contender
