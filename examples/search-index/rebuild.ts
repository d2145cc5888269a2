import type { Lease } from 'prisma-extension-concurrency/work'
import type { Database } from './database.js'

export const PAGES = 4

/** Rebuilds the index, a page at a time, from where the holder before has come. */
export async function rebuild(db: Database, lease: Lease, afterPage: (page: number) => Promise<void>): Promise<void> {
  const first = typeof lease.lastProgress === 'number' ? lease.lastProgress + 1 : 1
  for (let page = first; page <= PAGES; page++) {
    await db.$transactionWithRetry(async (tx) => {
      await tx.$assertLease(lease) // after a pause, the database says whether it is still ours
      await tx.note.create({ data: { text: `page ${page}, token ${lease.token}` } })
    })
    await lease.progress(page)
    await afterPage(page)
  }
}
