import type { ConcurrencyEvent } from '../../src/index.js'
import type { PgClient } from '../../src/pg.js'
import { db } from './support.js'

// Every `tx` has it, and no client.
db.$transaction(async (tx) => {
  tx.$afterCommit(() => {})
  tx.$afterCommit(async () => 1)
  // @ts-expect-error: a function is needed
  tx.$afterCommit(Promise.resolve())
  await tx.$idempotent({ key: 'mail', scope: 'orders' }, async (inner) => inner.$afterCommit(() => {}))
})
db.$withAdvisoryLock('mail', async (tx) => tx.$afterCommit(() => {}))
// @ts-expect-error: outside a transaction nothing is committed
db.$afterCommit(() => {})

declare const pool: PgClient
pool.$transactionWithRetry(async (tx) => tx.$afterCommit(() => {}))
// @ts-expect-error: outside a transaction nothing is committed
pool.$afterCommit(() => {})

export function errorOf(event: ConcurrencyEvent): unknown {
  return event.type === 'after-commit-failed' ? event.error : undefined
}
