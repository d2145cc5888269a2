import { setTimeout as sleep } from 'node:timers/promises'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { startErp } from './server.js'

await withDatabase(async (databaseUrl) => {
  const [one, two] = await Promise.all([startErp(databaseUrl), startErp(databaseUrl)])
  const db = connect(databaseUrl)
  try {
    await db.product.createMany({
      data: [
        { id: 1, name: 'Chai', price: 18 },
        { id: 11, name: 'Queso Cabrales', price: 21 },
      ],
    })
    await db.stock.createMany({ data: [1, 11].map((productId) => ({ productId, warehouse: 'main' })) })

    const send = async (server: typeof one, request: string, key?: string, body?: object) => {
      const [method = '', path = ''] = request.split(' ')
      const answer = await fetch(`${server.url}${path}`, {
        method,
        ...(key === undefined ? {} : { headers: { 'idempotency-key': `"${key}"` } }),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: answer.status, text: await answer.text() }
    }
    const print = async (label: string, answer: ReturnType<typeof send>) => {
      const { status, text } = await answer
      console.log(`${label} ${status}${text && `, ${text}`}`)
    }

    await print('Goods come in:   ', send(one, 'POST /stock/1/receipts', 'r1', { quantity: 39 }))
    const serials = ['Q-1', 'Q-2', 'Q-3']
    await print('And with serials:', send(two, 'POST /stock/11/receipts', 'r2', { quantity: 3, serials }))
    // Until one of the two machines has folded it.
    while ((await db.stockMovement.count({ where: { applied: false } })) > 0) await sleep(20)
    await print('In stock:        ', send(one, 'GET /stock/1'))

    const lines = [
      { productId: 11, quantity: 2 },
      { productId: 1, quantity: 5 },
    ]
    await print('An order:        ', send(one, 'POST /orders', 'o1', { customer: 'VINET', lines }))
    await print('Again, elsewhere:', send(two, 'POST /orders', 'o1', { customer: 'VINET', lines }))
    await print('Under its key:   ', send(two, 'POST /orders', 'o1', { customer: 'VINET', lines: lines.slice(1) }))
    await print('Too much:        ', send(two, 'POST /orders', 'o2', { customer: 'TOMSP', lines }))

    const basket = { lines: [{ productId: 1, quantity: 4 }], expiresIn: 900 }
    console.log(`A basket:         ${(await send(one, 'POST /baskets', 'b1', basket)).status}`)
    await print('Held back:       ', send(two, 'GET /stock/1'))
    await print('Checkout:        ', send(two, 'POST /baskets/b1/checkout', undefined, { customer: 'HANAR' }))
    await print('Counted:         ', send(one, 'POST /stock/1/counts', 'c1', { counted: 29 }))
    await print('Audit:           ', send(one, 'GET /audit'))
  } finally {
    await db.$disconnect()
    await Promise.all([one.close(), two.close()])
  }
})
