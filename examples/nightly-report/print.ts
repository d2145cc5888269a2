import type { Database } from './database.js'

const PAGES = 3

/**
 * Prints the reports, if that is due: a job that takes long, and that is not in the database. It goes on behind the last page
 * that was printed, also on another machine.
 */
export async function printReports(db: Database, printPage: (page: number) => Promise<void>): Promise<string> {
  const outcome = await db.$job('print-reports', { atLeast: '23h' }, async (run) => {
    const printed = typeof run.lastProgress === 'number' ? run.lastProgress : 0
    for (let page = printed + 1; page <= PAGES; page++) {
      run.signal.throwIfAborted() // somebody else may have the job now
      await printPage(page)
      await run.progress(page)
    }
  })
  return outcome.status === 'running' ? `running, by ${outcome.by}` : outcome.status
}
