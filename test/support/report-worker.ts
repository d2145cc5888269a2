/** A machine of its own that writes the report of a day, or is told that somebody else does. */
import { connect } from '../../examples/nightly-report/database.js'
import { writeReport } from '../../examples/nightly-report/report.js'

process.once('message', async ({ url, day }: { url: string; day: string }) => {
  const db = connect(url)
  const outcome = await writeReport(db, day)
  await db.$disconnect()
  process.send?.(outcome, () => process.exit(0))
})
