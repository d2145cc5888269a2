import pg from 'pg'

/**
 * What the stock moves are held against: a transaction written by hand on node-postgres, as short as
 * it can be, with prepared statements: BEGIN, guarded UPDATE, INSERT of the movement, COMMIT.
 */
export function byHand(url: string, poolSize: number) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize })
  return {
    async move(transactionId: string, productId: number, quantity: number): Promise<void> {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const { rowCount } = await client.query({
          name: 'take',
          text: `UPDATE "Stock" SET "onHand" = "onHand" + $3, "version" = "version" + 1
WHERE "productId" = $1 AND "warehouse" = $2 AND "onHand" + $3 >= 0`,
          values: [productId, 'main', quantity],
        })
        if (rowCount === 0) throw new Error('There is not enough stock.')
        await client.query({
          name: 'note',
          text: `INSERT INTO "StockMovement" ("transactionId", "line", "productId", "warehouse", "quantity") VALUES ($1, 0, $2, $3, $4)`,
          values: [transactionId, productId, 'main', quantity],
        })
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      } finally {
        client.release()
      }
    },
    /** Opens all connections, so that what is measured is the work. */
    warmUp: () => Promise.all(Array.from({ length: poolSize }, () => pool.query('SELECT pg_sleep(0.05)'))),
    end: () => pool.end(),
  }
}
