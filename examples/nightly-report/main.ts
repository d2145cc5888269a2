import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { printReports } from './print.js'

const MACHINE = fileURLToPath(new URL('./machine.ts', import.meta.url))

await withDatabase(async (url) => {
  const [db, db2] = [connect(url, 'machine 1'), connect(url, 'machine 2')]
  try {
    await db.order.createMany({ data: [{ customer: 'Vinet' }, { customer: 'Tomsp' }] })
    await db.payment.createMany({
      data: [
        { transactionId: 'tx-1001', amount: '12.50' },
        { transactionId: 'tx-1002', amount: '25.00' },
      ],
    })

    const machine = async () => {
      const args = ['--import', 'tsx', MACHINE, '2026-11-23']
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        env: { ...process.env, DATABASE_URL: url },
      })
      return stdout.trim()
    }

    const [one = '', other = ''] = await Promise.all([machine(), machine()])
    const [winner, loser] = one.startsWith('Wrote') ? [one, other] : [other, one]
    console.log('Two machines start the nightly report at once.')
    console.log(`One: ${winner}`)
    console.log(`The other: ${loser.slice(0, loser.indexOf(':'))}.`)
    console.log(`A third, later: ${await machine()}`)
    console.log(`Reports in the database: ${await db.note.count()}`)

    console.log('\nMachine 1 prints the reports.')
    let pages = 0
    const first = printReports(db, async (page) => {
      if (page === 2) console.log(`Machine 2 asks meanwhile: ${await printReports(db2, async () => {})}.`)
      if (page === 3) throw new Error('no paper')
      pages++
    })
    console.log(`Machine 1: ${await first.catch(({ message }) => message)}.`)
    const second = await printReports(db2, async (page) => {
      console.log(`Machine 2 goes on with page ${page}.`)
      pages++
    })
    console.log(`Machine 2: ${second}.`)
    console.log(`Machine 1 asks later: ${await printReports(db, async () => {})}.`)
    console.log(`Pages printed: ${pages}. The history, the last run first:`)
    for (const { state, startedBy, error } of await db.$jobHistory({ job: 'print-reports' })) {
      console.log([state, startedBy, error].filter((part) => part !== undefined).join(', '))
    }
  } finally {
    await db.$disconnect()
    await db2.$disconnect()
  }
})
