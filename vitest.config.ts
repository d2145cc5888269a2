import { defineConfig } from 'vitest/config'
import LongestFirst from './test/support/longest-first.js'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    isolate: false,
    setupFiles: ['test/support/fresh-modules.ts', 'test/support/patient-engines.ts'],
    reporters: ['default', './test/support/closing-line.ts', './test/support/hang-report.ts'],
    pool: 'forks',
    // One more than the processors of the machine that runs all of them: half of the files mostly wait, for what they have
    // made certain to come.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // No test measures time; these only end what hangs, and a run in which one test after the other does.
    bail: 10,
    expect: { poll: { timeout: 60_000 } },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
