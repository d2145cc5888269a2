import type { Database } from './database.js'

/** An operator presses a button: the move, who made it, and the mail to the customer, all or nothing. */
export function press(db: Database, operator: string, parcelId: number, to: 'PAID' | 'CANCELLED' | 'SHIPPED') {
  return db.parcel.transition({
    where: { id: parcelId },
    to,
    history: { by: operator },
    outbox: { topic: 'parcel.moved', payload: { parcelId, to }, key: `parcel ${parcelId}` },
  })
}

/** The answer for the operator. */
export function answerTo(operator: string, result: Awaited<ReturnType<typeof press>>): string {
  switch (result.status) {
    case 'moved':
      return `${operator}: ${result.record.code} is ${result.record.state} now.`
    case 'already':
      return `${operator}: ${result.record.code} is ${result.record.state} already.`
    case 'illegal':
      return `${operator}: that cannot be done any more, it is ${result.current}.`
    case 'missing':
      return `${operator}: there is no such parcel.`
  }
}

/** Sends the mails that are due, and tells them. */
export async function sendMails(db: Database): Promise<string[]> {
  const mails: string[] = []
  await db.$outbox.relay(
    {
      'parcel.moved': async ({ payload }, tx) => {
        const { code } = await tx.parcel.findUniqueOrThrow({ where: { id: payload.parcelId } })
        mails.push(`Mail to the customer: ${code} is ${payload.to}.`)
      },
    },
    { until: 'empty' },
  )
  return mails
}
