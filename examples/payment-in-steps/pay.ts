import { charge } from './bank.js'
import type { Database } from './database.js'

export interface Purchase {
  readonly id: string
  readonly productId: number
  readonly amount: string
}

/** Reserves, charges and books. Any machine may call it, as often as it likes. */
export async function pay(db: Database, bank: string, purchase: Purchase, afterCharge = () => {}) {
  const { id, productId, amount } = purchase
  return db.$steps({ key: id, scope: 'pay', request: purchase }, async (op) => {
    await op.step('reserve', {
      run: async (tx) => {
        const { stock } = await tx.product.updateVersioned({
          where: { id: productId },
          data: ({ stock }) => ({ stock: stock - 1 }),
        })
        if (stock < 0) op.refuse({ reason: 'sold out' })
      },
      undo: (tx) => tx.product.update({ where: { id: productId }, data: { stock: { increment: 1 } } }),
    })
    const made = await op.external('charge', async (key) => {
      const answer = await charge(bank, amount, key)
      afterCharge()
      return answer
    })
    if (made.declined) return op.refuse({ reason: made.declined })
    await op.step('book', async (tx) => {
      await tx.payment.create({ data: { transactionId: id, amount, reference: made.id } })
    })
    return made.id
  })
}
