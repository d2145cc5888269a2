// Test files share a process, since each of them would spend a second on what all of them import. The package remembers
// for the life of a process that an answer was lost, and sends a statement more from then on: the next file loads it anew.
import { afterAll, vi } from 'vitest'
import { wasAnswerLost } from '../../src/retry/ambiguous-outcome.js'

afterAll(() => {
  if (wasAnswerLost()) vi.resetModules()
})
