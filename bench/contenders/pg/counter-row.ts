/**
 * The floor of gapless numbers: counter and document in one statement, prepared once per
 * connection, so that the counter's row is locked no longer than the commit takes.
 */
import type { Contender } from '../../contender.js'
import { createPool } from '../../support/pg-pool.js'

const WRITE = {
  name: 'write-document',
  text: `WITH next AS (
  UPDATE series SET last = last + 1 WHERE name = $2 RETURNING last
)
INSERT INTO document (series, number, transaction_id)
SELECT $2, last, $1 FROM next`,
}

const UNIQUE_VIOLATION = '23505'

export default {
  id: 'pg/counter-row',
  title: 'pg, counter row (floor)',
  family: 'pg',
  source: 'https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING',
  choices: 'READ COMMITTED, autocommit, a named (prepared) statement. Only where the document is one row.',
  operations: ['nextNumber'],

  async open(env) {
    const pool = createPool(env)
    return {
      async nextNumber(transactionId, series) {
        try {
          await pool.query({ ...WRITE, values: [transactionId, series] })
        } catch (error) {
          // Nothing was counted either: it has its number already.
          if (!(error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION)) throw error
        }
        return { retries: 0 }
      },
      close: () => pool.end(),
    }
  },
} satisfies Contender
