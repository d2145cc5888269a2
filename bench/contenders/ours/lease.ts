/** `$withLease` without the fence: the holder looks at its signal before it writes, as with any other lease. */
import type { Contender } from '../../contender.js'
import { leaseSession } from '../../support/ours-lease.js'
import { rowsOf } from '../../support/prisma-rows.js'

export default {
  id: 'ours/lease',
  title: '$withLease',
  family: 'ours',
  source: 'docs/guide/job-of-hours.md',
  choices:
    'A lease of 5 s with heartbeats, waited for for 5 s. It is made for jobs of hours, not for sections of milliseconds: ' +
    'those that wait ask again every 100 ms. Its signal is looked at before each write, without the fence: it is there ' +
    'to show what a lease alone is worth when its holder is stopped.',
  operations: ['readChangeWrite', 'critical'],

  open: async (env) =>
    leaseSession(env, (db, lease) => {
      const rows = rowsOf(db)
      return {
        read: rows.read,
        async write(itemId, stock) {
          lease.signal.throwIfAborted()
          await rows.write(itemId, stock)
        },
      }
    }),
} satisfies Contender
