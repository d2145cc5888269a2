import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { MailServer, startRelay } from './mails.js'
import { takeOrder } from './shop.js'

const MACHINE = fileURLToPath(new URL('./machine.ts', import.meta.url))

await withDatabase(async (url) => {
  const db = connect(url)
  const ending = new AbortController()
  const server = new MailServer()
  const { wake, ended } = startRelay(db, server, ending.signal)
  try {
    await takeOrder(db, '', () => console.log('This is never printed.')).catch(({ message }) => {
      console.log(`Refused: ${message}`)
    })
    console.log(`Orders: ${await db.order.count()}. Messages: ${await db.outboxMessage.count()}.`)

    await takeOrder(db, 'Vinet', wake)
    console.log(`Mail ${await server.until(1)}`)

    server.failNext(2)
    await takeOrder(db, 'Tomsp', wake)
    console.log(`The mail server fails twice. Mail ${await server.until(2)}`)

    const machine = spawn(process.execPath, ['--import', 'tsx', MACHINE], {
      env: { ...process.env, DATABASE_URL: url },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [, signal] = await once(machine, 'exit')
    console.log(`Another machine is ended by ${signal} right after its commit. Mail ${await server.until(3)}`)
  } finally {
    ending.abort()
    await ended
    console.log(`Mails in all: ${server.mails.length}. Messages left: ${await db.outboxMessage.count()}.`)
    await db.$disconnect()
  }
})
