// The tests of behaviour wait for what they have made certain to come, and no promise of theirs is about the five seconds of
// a call: on a busy machine one statement may take a tenth of that, and a process may stand still for half of it. The same
// goes for a server that ENGINE_URL names, such as a cluster on one small machine.
import { expect } from 'vitest'
import { setPatience } from './patience.js'

/** Those whose tests are about deadlines move their time on themselves. */
const PATIENT =
  /[\\/]test[\\/]((engines|events|jobs|leases|locking|processes|races)[\\/]|faults[\\/](own-deadlines|swallowed|lost-answers|outages|stock-failures|foreign-deadlines|pgbouncer|replicas|read-only)\.)/
const isPatient = Boolean(process.env.ENGINE_URL) || PATIENT.test(expect.getState().testPath ?? '')
setPatience(isPatient)
// For the processes that a test starts.
if (isPatient) process.env.TEST_PATIENCE = 'long'
else delete process.env.TEST_PATIENCE
