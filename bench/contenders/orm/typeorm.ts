/**
 * TypeORM with a version column. It counts the column up, and does not look at it when it saves:
 * its users put the version into the condition of an update, and look how many rows it changed.
 */
import type { Contender } from '../../contender.js'
import { untilItWins } from '../../support/patience.js'

const UNIQUE_VIOLATION = '23505'

export default {
  id: 'orm/typeorm',
  title: 'TypeORM, version column',
  family: 'orm',
  source: 'https://github.com/typeorm/typeorm/issues/2848',
  choices:
    'READ COMMITTED. Not setLock("optimistic") and save(): that compares the version when it reads, and not when it ' +
    'writes. If no row was changed, it reads again: at once, and for 5 s, as the loop on Prisma does. Stock ' +
    'and ledger are in one transaction. A call waits for a connection without end, the default. node-postgres without ' +
    'prepared statements.',
  packages: ['typeorm'],
  operations: ['readChangeWrite', 'move'],

  async open(env) {
    const { DataSource, EntitySchema, QueryFailedError } = await import('typeorm')
    const Item = new EntitySchema<Item>({
      name: 'Item',
      tableName: 'item',
      columns: {
        id: { type: 'int', primary: true },
        name: { type: 'text' },
        stock: { type: 'int' },
        version: { type: 'int', version: true },
      },
    })
    const Movement = new EntitySchema<Movement>({
      name: 'Movement',
      tableName: 'movement',
      columns: {
        id: { type: 'bigint', primary: true, generated: 'increment' },
        transactionId: { type: 'text', name: 'transaction_id' },
        itemId: { type: 'int', name: 'item_id' },
        quantity: { type: 'int' },
      },
    })
    const dataSource = new DataSource({
      type: 'postgres',
      url: env.databaseUrl,
      poolSize: env.poolSize,
      entities: [Item, Movement],
      installExtensions: false, // nothing here needs one
    })
    await dataSource.initialize()

    const move = async (transactionId: string, itemId: number, quantity: number) => {
      let refused = false
      const retries = await untilItWins(async () => {
        const { stock, version } = await dataSource.manager.findOneByOrFail(Item, { id: itemId })
        refused = stock + quantity < 0
        if (refused) return true
        try {
          await dataSource.transaction(async (manager) => {
            await manager.insert(Movement, { transactionId, itemId, quantity })
            // Counts the version up, too.
            const { affected } = await manager.update(Item, { id: itemId, version }, { stock: stock + quantity })
            if (affected !== 1) throw new Conflict()
          })
          return true
        } catch (error) {
          if (error instanceof QueryFailedError && error.driverError.code === UNIQUE_VIOLATION) return true // it was moved before
          if (!(error instanceof Conflict)) throw error
          return false
        }
      })
      return { retries, refused }
    }
    return {
      async readChangeWrite(itemId) {
        const retries = await untilItWins(async () => {
          const { stock, version } = await dataSource.manager.findOneByOrFail(Item, { id: itemId })
          const { affected } = await dataSource.manager.update(Item, { id: itemId, version }, { stock: stock + 1 })
          return affected === 1
        })
        return { retries }
      },
      move,
      close: () => dataSource.destroy(),
    }
  },
} satisfies Contender

/** Rolls the movement back. */
class Conflict extends Error {}

interface Item {
  id: number
  name: string
  stock: number
  version: number
}

interface Movement {
  id: string
  transactionId: string
  itemId: number
  quantity: number
}
