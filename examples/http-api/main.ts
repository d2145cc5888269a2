import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { startApi } from './server.js'

await withDatabase(async (databaseUrl) => {
  const [one, two] = await Promise.all([startApi(databaseUrl), startApi(databaseUrl)])
  const db = connect(databaseUrl)
  try {
    const { id } = await db.product.create({ data: { name: 'Chai', price: 18, stock: 39 } })

    const seen = await fetch(`${one.url}/products/${id}`)
    const tag = seen.headers.get('etag') ?? ''
    console.log(`GET: ${seen.status}, ETag ${tag}, ${await seen.text()}`)

    const patch = async (server: typeof one, headers: Record<string, string>, body: object) => {
      const answer = await fetch(`${server.url}/products/${id}`, {
        method: 'PATCH',
        headers,
        body: JSON.stringify(body),
      })
      return `${answer.status}, ETag ${answer.headers.get('etag')}, ${await answer.text()}`
    }
    console.log(`PATCH with that ETag: ${await patch(one, { 'if-match': tag }, { price: '19.00' })}`)
    console.log(`Again, elsewhere:     ${await patch(two, { 'if-match': tag }, { price: '17.00' })}`)
    console.log(`Without If-Match:     ${await patch(two, {}, { price: '17.00' })}`)

    const order = async (server: typeof one, quantity: number) => {
      const answer = await fetch(`${server.url}/orders`, {
        method: 'POST',
        headers: { 'x-user': 'ana', 'idempotency-key': '"8e03978e-40d5-43e8-bc93-6894a57f9324"' },
        body: JSON.stringify({ lines: [{ productId: id, quantity }] }),
      })
      return `${answer.status}, ${await answer.text()}`
    }
    console.log(`POST of an order:  ${await order(one, 3)}`)
    console.log(`Again, elsewhere:  ${await order(two, 3)}`)
    console.log(`For another order: ${await order(two, 4)}`)

    const { stock } = await db.product.findUniqueOrThrow({ where: { id } })
    console.log(`Orders: ${await db.order.count()}, left in stock: ${stock}`)
  } finally {
    await db.$disconnect()
    await Promise.all([one.close(), two.close()])
  }
})
