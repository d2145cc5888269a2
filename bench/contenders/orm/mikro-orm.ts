/** MikroORM with a version property: flush checks it, and a conflict is read again with a new entity manager. */
import type { Contender } from '../../contender.js'
import { untilItWins } from '../../support/patience.js'

export default {
  id: 'orm/mikro-orm',
  title: 'MikroORM, version property',
  family: 'orm',
  source: 'https://mikro-orm.io/docs/transactions#optimistic-locking',
  choices:
    'READ COMMITTED; an entity manager per attempt, and a flush, which is a transaction. After an ' +
    'OptimisticLockError, as its documentation says, it reads again and does it again: at once, and for 5 s, as the ' +
    'loop on Prisma does. Stock and ledger are in one flush. A call waits up to 60 s for a connection, the default. ' +
    'Version 6; node-postgres without prepared statements.',
  packages: ['@mikro-orm/postgresql'],
  operations: ['readChangeWrite', 'move'],

  async open(env) {
    const { EntitySchema, MikroORM, OptimisticLockError, UniqueConstraintViolationException } = await import(
      '@mikro-orm/postgresql'
    )
    const Item = new EntitySchema<Item>({
      name: 'Item',
      tableName: 'item',
      properties: {
        id: { type: 'integer', primary: true, autoincrement: false },
        name: { type: 'text' },
        stock: { type: 'integer' },
        version: { type: 'integer', version: true },
      },
    })
    const Movement = new EntitySchema<Movement>({
      name: 'Movement',
      tableName: 'movement',
      properties: {
        id: { type: 'bigint', primary: true },
        transactionId: { type: 'text', fieldName: 'transaction_id' },
        itemId: { type: 'integer', fieldName: 'item_id' },
        quantity: { type: 'integer' },
      },
    })
    const orm = await MikroORM.init({
      entities: [Item, Movement],
      clientUrl: env.databaseUrl,
      pool: { min: 0, max: env.poolSize },
    })

    const optimistic = (attempt: (em: typeof orm.em) => Promise<void>) =>
      untilItWins(async () => {
        try {
          await attempt(orm.em.fork())
          return true
        } catch (error) {
          if (!(error instanceof OptimisticLockError)) throw error
          return false
        }
      })

    const move = async (transactionId: string, itemId: number, quantity: number) => {
      let refused = false
      try {
        const retries = await optimistic(async (em) => {
          const item = await em.findOneOrFail(Item, itemId)
          refused = item.stock + quantity < 0
          if (refused) return
          item.stock += quantity
          em.create(Movement, { transactionId, itemId, quantity }, { partial: true })
          await em.flush()
        })
        return { retries, refused }
      } catch (error) {
        if (!(error instanceof UniqueConstraintViolationException)) throw error
        return { retries: 0 } // it was moved before
      }
    }
    return {
      async readChangeWrite(itemId) {
        const retries = await optimistic(async (em) => {
          const item = await em.findOneOrFail(Item, itemId)
          item.stock += 1
          await em.flush()
        })
        return { retries }
      },
      move,
      close: () => orm.close(),
    }
  },
} satisfies Contender

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
