import { expect, test } from 'vitest'
import { outbox } from '../../src/pg/outbox.js'
import { describeEngines } from '../support/engines.js'
import { explainAgain, explainStatements } from '../support/explained.js'
import type { Topics } from '../support/outbox.js'

const KEYS = 3_000

// The SQL is the same on both engines.
describeEngines(({ name, database, connect }) => {
  test.runIf(name === 'pg')(
    'a relay reads a few rows of all that wait, also by statistics of empty tables',
    async () => {
      const { db, pool } = await connect(name, { poolSize: 4 })
      await database.query(`ALTER TABLE "OutboxKey" SET (autovacuum_enabled = off)`)
      await database.query(`ALTER TABLE "OutboxMessage" SET (autovacuum_enabled = off)`)
      await database.query('ANALYZE "OutboxKey", "OutboxMessage"')
      const explained = explainStatements(pool, /FOR UPDATE SKIP LOCKED/)
      const topics = {} as Topics
      await db.$extends(outbox({ topics })).$outbox.relay({ plan: async () => undefined }, { until: 'empty' })
      const [take] = explained
      if (!take) throw new Error('The relay has sent no statement that takes a message.')

      await database.query(
        `WITH keys AS (
  INSERT INTO "OutboxKey" (topic, key, head, last, "dueAt")
  SELECT 'plan', n::text, 1, 1, now() FROM generate_series(1, ${KEYS}) AS n
)
INSERT INTO "OutboxMessage" (id, topic, key, position, payload)
SELECT gen_random_uuid(), 'plan', n::text, 1, '{"n":1}' FROM generate_series(1, ${KEYS}) AS n`,
      )
      const { scanned, rows } = await explainAgain(pool, take)
      expect([...scanned].sort()).toEqual(['OutboxKey', 'OutboxMessage'])
      expect(rows).toBeLessThan(10)
    },
  )
})
