/** `$withLease` with the fence, as the guide shows it: `tx.$assertLease` in the transaction that writes. */
import type { Contender } from '../../contender.js'
import { leaseSession } from '../../support/ours-lease.js'
import { rowsOf } from '../../support/prisma-rows.js'

export default {
  id: 'ours/lease-fenced',
  title: '$withLease, fenced',
  family: 'ours',
  source: 'docs/guide/job-of-hours.md#the-fence',
  choices:
    'A lease of 5 s with heartbeats, waited for for 5 s, and each write in a $transactionWithRetry with $assertLease. It is ' +
    'made for jobs of hours, not for sections of milliseconds: those that wait ask again every 100 ms.',
  operations: ['readChangeWrite', 'critical'],

  open: async (env) =>
    leaseSession(env, (db, lease) => ({
      read: rowsOf(db).read,
      write: (itemId, stock) =>
        db.$transactionWithRetry(async (tx) => {
          await tx.$assertLease(lease)
          await rowsOf(tx).write(itemId, stock)
        }),
    })),
} satisfies Contender
