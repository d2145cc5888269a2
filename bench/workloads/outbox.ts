/** Payments that are told to somebody else after their commit: by a message that is committed with them. */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const CALLERS = 16

export const outbox: Workload = {
  id: 'outbox',
  title: `Outbox, ${CALLERS} callers, 8 relays`,
  about:
    'Each call inserts a payment and adds a message in the same transaction; beside the callers, in the same process, 8 ' +
    'workers handle the messages, each with a row that they write. It is over when all messages are handled. No message ' +
    'has a key, so their order does not matter.',
  operation: 'tell',
  processes: 1,
  callers: CALLERS,
  poolSize: 20,
  fill: async () => {},
  caller(session, place) {
    const tell = operationOf(session, 'tell')
    let count = 0
    return () => ({ key: place.name, outcome: tell(`${place.name}/${count++}`) })
  },
  audit: auditMessages,
}

/** Each payment was told once: twice is kept out by the key of `told`, or the one who handles the message says that it does not matter. */
async function auditMessages(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ caller: string; payments: number; told: number }>(
    `SELECT split_part(transaction_id, '/', 1) AS caller, count(payment.id)::int AS payments, count(told.transaction_id)::int AS told
FROM payment FULL JOIN told USING (transaction_id)
GROUP BY 1`,
  )
  const found = new Map(rows.map((row) => [row.caller, row]))
  const audit = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }
  for (const [caller, { done, failed }] of Object.entries(tally)) {
    const { payments, told } = found.get(caller) ?? { payments: 0, told: 0 }
    audit.lost += Math.max(0, done - told)
    audit.doubled += Math.max(0, payments - done - failed)
    audit.inconsistent += Math.abs(payments - told)
  }
  return audit
}
