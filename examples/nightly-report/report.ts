import type { Database } from './database.js'

/** Writes the report of a day, unless it is written already or is being written by another machine. */
export function writeReport(db: Database, day: string) {
  return db.$oncePer(
    {
      job: 'nightly-report',
      period: day, // the day it is about: no clock has to agree with another
      isolationLevel: 'RepeatableRead', // all figures are of one moment
      timeout: 10 * 60_000,
    },
    async (tx) => {
      const orders = await tx.order.count()
      const { _count: payments, _sum: sum } = await tx.payment.aggregate({ _count: true, _sum: { amount: true } })
      const text = `${day}: ${orders} orders, ${payments} payments of ${sum.amount?.toFixed(2) ?? '0.00'} in all`
      await tx.note.create({ data: { text } }) // committed together with the fact that it was done
      return text
    },
  )
}
