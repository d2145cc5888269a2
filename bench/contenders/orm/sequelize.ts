/** Sequelize with `version: true`: save checks the version, and a conflict is read again. */
import type { Model } from 'sequelize'
import type { Contender } from '../../contender.js'
import { untilItWins } from '../../support/patience.js'

export default {
  id: 'orm/sequelize',
  title: 'Sequelize, version: true',
  family: 'orm',
  source: 'https://sequelize.org/docs/v6/other-topics/optimistic-locking/',
  choices:
    'READ COMMITTED, autocommit. Its documentation says that a conflict throws an OptimisticLockError, and not what to ' +
    'do then: here it reads again, at once, and for 5 s, as the loop on Prisma does. Its own option `retry` would send ' +
    'the same stale statement again. A call waits up to 60 s for a connection, the default. Stock and ledger are in ' +
    'one transaction. Version 6; node-postgres without prepared statements.',
  packages: ['sequelize'],
  operations: ['readChangeWrite', 'move'],

  async open(env) {
    const { DataTypes, OptimisticLockError, Sequelize, UniqueConstraintError } = await import('sequelize')
    const sequelize = new Sequelize(env.databaseUrl, {
      logging: false,
      pool: { max: env.poolSize },
      define: { timestamps: false },
    })
    const Item = sequelize.define<ItemModel>(
      'Item',
      {
        id: { type: DataTypes.INTEGER, primaryKey: true },
        name: { type: DataTypes.TEXT },
        stock: { type: DataTypes.INTEGER },
      },
      { tableName: 'item', version: true },
    )
    const Movement = sequelize.define(
      'Movement',
      {
        id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
        transactionId: { type: DataTypes.TEXT, field: 'transaction_id' },
        itemId: { type: DataTypes.INTEGER, field: 'item_id' },
        quantity: { type: DataTypes.INTEGER },
      },
      { tableName: 'movement' },
    )

    const move = async (transactionId: string, itemId: number, quantity: number) => {
      let refused = false
      const retries = await untilItWins(async () => {
        const item = await Item.findByPk(itemId, { rejectOnEmpty: true })
        refused = item.stock + quantity < 0
        if (refused) return true
        try {
          await sequelize.transaction(async (transaction) => {
            await Movement.create({ transactionId, itemId, quantity }, { transaction })
            await item.update({ stock: item.stock + quantity }, { transaction })
          })
          return true
        } catch (error) {
          if (error instanceof UniqueConstraintError) return true // it was moved before
          if (!(error instanceof OptimisticLockError)) throw error
          return false
        }
      })
      return { retries, refused }
    }
    return {
      async readChangeWrite(itemId) {
        const retries = await untilItWins(async () => {
          const item = await Item.findByPk(itemId, { rejectOnEmpty: true })
          try {
            await item.update({ stock: item.stock + 1 })
            return true
          } catch (error) {
            if (!(error instanceof OptimisticLockError)) throw error
            return false
          }
        })
        return { retries }
      },
      move,
      close: () => sequelize.close(),
    }
  },
} satisfies Contender

interface ItemModel extends Model {
  id: number
  name: string
  stock: number
  version: number
}
