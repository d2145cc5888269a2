// In a process of its own: as in the test that has started it.
import { setPatience } from './patience.js'

setPatience(process.env.TEST_PATIENCE === 'long')
