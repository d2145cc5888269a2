import type { Reporter, TestCase, Vitest } from 'vitest/node'

/** In ms: more than any single test may take. */
const LONGEST_SILENCE = 600_000

/**
 * Ends a run in which no test has ended for so long, and says what was running: a worker that is blocked, or that waits
 * while it imports, is ended by no timeout of a test.
 */
export default class HangReport implements Reporter {
  #vitest: Vitest | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #running = new Set<TestCase>()

  onInit(vitest: Vitest) {
    this.#vitest = vitest
  }

  onTestRunStart() {
    this.#wait()
  }

  onTestCaseReady(test: TestCase) {
    this.#running.add(test)
  }

  onTestCaseResult(test: TestCase) {
    this.#running.delete(test)
    this.#wait()
  }

  onTestRunEnd() {
    clearTimeout(this.#timer)
  }

  #wait() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#end(), LONGEST_SILENCE)
  }

  #end() {
    const files = this.#vitest?.state.getTestModules() ?? []
    console.error(`No test has ended for ${LONGEST_SILENCE / 1_000} s. Not ended are:`)
    for (const file of files) {
      if (file.state() === 'queued' || file.state() === 'pending') console.error(`  ${file.relativeModuleId}`)
    }
    for (const test of this.#running) console.error(`  ${test.module.relativeModuleId} > ${test.fullName}`)
    process.exit(1)
  }
}
