/** Starts a server of its own, says so, and then does what `THEN` says. */
import { startEmbedded } from './server.js'

const server = await startEmbedded()
console.log('started')
if (process.env.THEN === 'throw') throw new Error('on purpose')
if (process.env.THEN === 'exit') process.exit(0)
if (process.env.THEN === 'stop') await Promise.all([server.stop(), server.stop()])
