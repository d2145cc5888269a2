import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../examples/nightly-report/database.js'
import { writeReport } from '../../examples/nightly-report/report.js'
import type { OncePerResult } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { runExample } from '../support/example.js'
import { startProcess } from '../support/process.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()

function machine() {
  const db = connect(database.url)
  onTestFinished(() => db.$disconnect())
  return db
}

const reportsOf = (day: string) => database.query(`SELECT text FROM "Note" WHERE text LIKE $1 || ':%'`, [day])

test('of two machines that start at once, one writes the report, and the other is told so while it is being written', async () => {
  const day = randomUUID()
  const holder = await openTransaction(database.url, 'LOCK TABLE "Note" IN EXCLUSIVE MODE') // nobody gets to the end
  const machines = [0, 1].map(() => startProcess('./report-worker.ts', { url: database.url, day }))
  const answers = machines.map((child) => child.answer<OncePerResult<string>>())

  const told = await Promise.race(answers)
  await untilBlocked(database.url)
  await holder.query('COMMIT')
  const outcomes = await Promise.all(answers)

  expect(told).toEqual({ ran: false })
  expect(outcomes.filter(({ ran }) => ran)).toHaveLength(1)
  expect(await reportsOf(day)).toHaveLength(1)
})

test('a machine that starts later is told since when the report is written, and writes none', async () => {
  const day = randomUUID()
  const first = await writeReport(machine(), day)

  const third = await writeReport(machine(), day)

  expect(first.ran).toBe(true)
  expect(third).toEqual({ ran: false, since: expect.any(Date) })
  expect(await reportsOf(day)).toHaveLength(1)
})

test('every day has its own report', async () => {
  const days = [randomUUID(), randomUUID()]

  const outcomes = await Promise.all(days.map((day) => writeReport(machine(), day)))

  expect(outcomes.map(({ ran }) => ran)).toEqual([true, true])
})

test('a report that fails leaves nothing behind, and the next machine writes it', async () => {
  const day = randomUUID()
  await database.query(`ALTER TABLE "Note" ADD CONSTRAINT broken CHECK (text NOT LIKE '${day}:%')`)
  const failure = await rejectionOf(writeReport(machine(), day))
  await database.query('ALTER TABLE "Note" DROP CONSTRAINT broken')

  const outcome = await writeReport(machine(), day)

  expect(failure).toBeInstanceOf(Error)
  expect(outcome.ran).toBe(true)
  expect(await reportsOf(day)).toHaveLength(1)
})

test('all figures of a report are of one moment', async () => {
  const day = randomUUID()
  const db = machine()
  const before = { orders: await db.order.count(), payments: await db.payment.count() }
  const writer = await openTransaction(database.url, 'LOCK TABLE "Payment" IN ACCESS EXCLUSIVE MODE')
  const report = started(writeReport(db, day))
  await untilBlocked(database.url) // its orders are counted, its payments are not
  await writer.query(`INSERT INTO "Order" (customer) VALUES ('Vinet')`)
  await writer.query(`INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 12.5)`, [day])
  await writer.query('COMMIT')

  const outcome = await report

  expect(outcome).toMatchObject({
    result: `${day}: ${before.orders} orders, ${before.payments} payments of 0.00 in all`,
  })
})

test('the example prints what its README says', async () => {
  const { actual, promised } = await runExample('nightly-report', database.url)

  expect(actual).toEqual(promised)
})
