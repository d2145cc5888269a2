/** A machine that dies in the moment in which its order is committed. */
import { connect } from './database.js'
import { takeOrder } from './shop.js'

const db = connect(process.env.DATABASE_URL ?? '')
await takeOrder(db, 'Hanar', () => process.kill(process.pid, 'SIGKILL'))
