import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { answerTo, press, sendMails } from './desk.js'

await withDatabase(async (url) => {
  const db = connect(url)
  try {
    const race = await db.parcel.create({ data: { code: 'P-1' } })
    console.log('Ann takes the money for P-1, and Bob cancels it, at the same moment.')
    const results = await Promise.all([press(db, 'Ann', race.id, 'PAID'), press(db, 'Bob', race.id, 'CANCELLED')])
    const [loser, winner] = results.map(({ status }) => status).sort()
    console.log(`One is told '${winner}', the other '${loser}'.`)
    console.log(`Rows of the history: ${await db.parcelMove.count()}. Mails: ${(await sendMails(db)).length}.`)

    const { id, version } = await db.parcel.create({ data: { code: 'P-2' } })
    console.log('\nEverybody has P-2 on the screen, as it was in the morning: PENDING.')
    const buttons = [
      ['Ann', 'PAID'],
      ['Bob', 'PAID'],
      ['Bob', 'CANCELLED'],
      ['Carl', 'SHIPPED'],
    ] as const
    for (const [operator, to] of buttons) console.log(answerTo(operator, await press(db, operator, id, to)))

    const edit = await db.parcel.tryUpdateVersioned({ where: { id, version }, data: { note: 'leave it at the door' } })
    if (edit.status === 'stale') {
      console.log(
        `Dora saves a note: refused, she has version ${edit.expected} on the screen, and it is at ${edit.actual}.`,
      )
    }

    console.log('\nThe history of P-2:')
    const moves = await db.parcelMove.findMany({ where: { parcelId: id }, orderBy: { id: 'asc' } })
    for (const { from, to, by } of moves) console.log(`${from} -> ${to}, by ${by}`)
    for (const mail of await sendMails(db)) console.log(mail)
  } finally {
    await db.$disconnect()
  }
})
