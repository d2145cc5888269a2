import { test } from 'vitest'
import pg from 'pg'
import { newId, useSerials } from './support/serials.js'
const { database, connect, newProduct } = useSerials()
test('perf', async () => {
  const { db } = connect({ poolSize: 10 })
  const pool = new pg.Pool({ connectionString: database.url, max: 10 })
  for (let r = 0; r < 5; r++) {
    for (const supply of [2500, 100_000]) {
    const productId = await newProduct(supply)
    await database.query('ANALYZE')
    let t = performance.now()
    const out = await Promise.allSettled(Array.from({ length: 1000 }, () => db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3 })))
    const ours = performance.now() - t
    const p2 = await newProduct(supply)
    await database.query('ANALYZE')
    t = performance.now()
    await Promise.allSettled(Array.from({ length: 1000 }, async () => {
      const c = await pool.connect(); const id = newId()
      try {
        await c.query('BEGIN')
        await c.query('INSERT INTO "SerialAllocation" ("transactionId", request, count) VALUES ($1, $2, 3)', [id, '{}'])
        const { rows } = await c.query('SELECT number FROM "Serial" WHERE "productId" = $1 AND "transactionId" IS NULL ORDER BY "transactionId", number LIMIT 3 FOR UPDATE SKIP LOCKED', [p2])
        if (rows.length < 3) { await c.query('ROLLBACK'); return }
        await c.query('UPDATE "Serial" SET "transactionId" = $2 WHERE "productId" = $1 AND number = ANY($3)', [p2, id, rows.map((x) => x.number)])
        await c.query('COMMIT')
      } finally { c.release() }
    }))
    console.log(supply, 'ours', Math.round(ours), 'pg', Math.round(performance.now() - t), out.filter((x) => x.status === 'rejected').length)
    }
  }
  await pool.end()
})
