/** A machine that is killed when the bank has answered, and nobody has noted it. */
import { writeSync } from 'node:fs'
import { connect } from './database.js'
import { pay } from './pay.js'

const { DATABASE_URL = '', BANK = '', PURCHASE = '' } = process.env
await pay(connect(DATABASE_URL), BANK, JSON.parse(PURCHASE), () => {
  writeSync(1, 'The first machine has charged the bank, and is killed.\n')
  process.kill(process.pid, 'SIGKILL')
})
