import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isConcurrencyError } from 'prisma-extension-concurrency'
import { withDatabase } from '../with-database.js'
import { openBank } from './bank.js'
import { connect } from './database.js'
import { type Purchase, pay } from './pay.js'

const MACHINE = fileURLToPath(new URL('./machine.ts', import.meta.url))

await withDatabase(async (url) => {
  const db = connect(url)
  const bank = await openBank()
  try {
    const product = await db.product.create({ data: { name: 'Chai', stock: 10 } })
    const purchase: Purchase = { id: 'A-1', productId: product.id, amount: '12.50' }
    const first = spawn(process.execPath, ['--import', 'tsx', MACHINE], {
      env: { ...process.env, DATABASE_URL: url, BANK: bank.url, PURCHASE: JSON.stringify(purchase) },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    await once(first, 'exit')
    const { result } = await pay(db, bank.url, purchase)
    console.log(
      `The second machine goes on: ${result}. The bank was asked ${bank.requests} times, for ${bank.charges} charge.`,
    )

    const dear = { ...purchase, id: 'B-1', amount: '500' }
    for (const call of ['first', 'second']) {
      await pay(db, bank.url, dear).catch((error) => {
        if (!isConcurrencyError(error, 'OPERATION_REFUSED')) throw error
        console.log(`B-1, ${call} call: ${error.code} ${JSON.stringify(error.answer)}`)
      })
    }
    const { stock } = await db.product.findUniqueOrThrow({ where: { id: product.id } })
    console.log(
      `${stock} of 10 are left, ${await db.payment.count()} payment is booked, the bank was asked ${bank.requests} times.`,
    )
  } finally {
    bank.close()
    await db.$disconnect()
  }
})
