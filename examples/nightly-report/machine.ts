/** The program that a scheduler starts on every machine, each night: `machine.ts 2026-11-23` */
import { z } from 'zod'
import { connect } from './database.js'
import { writeReport } from './report.js'

const day = z.iso.date().parse(process.argv[2])
const db = connect(z.string().parse(process.env.DATABASE_URL))
try {
  const outcome = await writeReport(db, day)
  if (outcome.ran) console.log(`Wrote the report. ${outcome.result}`)
  else console.log(`Nothing to do: ${outcome.since ? 'the report is written' : 'another machine writes it right now'}.`)
} finally {
  await db.$disconnect()
}
