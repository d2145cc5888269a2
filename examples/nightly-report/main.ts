import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'

const MACHINE = fileURLToPath(new URL('./machine.ts', import.meta.url))

await withDatabase(async (url) => {
  const db = connect(url)
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
  } finally {
    await db.$disconnect()
  }
})
