import { formatted } from './report.js'

/** Shows how far a run is: on a terminal in one line that is written over, else in a line per quarter. */
export class Progress {
  readonly #label: string
  readonly #total: number
  readonly #what: string
  #done = 0

  constructor(label: string, total: number, what: string) {
    this.#label = label
    this.#what = what
    this.#total = total
    this.#show()
  }

  readonly advance = () => {
    const percent = this.#percent()
    this.#done++
    const step = process.stdout.isTTY ? 1 : 25
    if (Math.floor(this.#percent() / step) > Math.floor(percent / step)) this.#show()
  }

  /** Leaves the line, so that what comes next is not written over it. */
  end() {
    if (process.stdout.isTTY) process.stdout.write('\n')
  }

  #percent() {
    return Math.floor((100 * this.#done) / this.#total)
  }

  #show() {
    // The work of a killed process is done again, and counts only once here.
    const done = Math.min(this.#done, this.#total)
    const text = `${this.#label}: ${formatted(done)} of ${formatted(this.#total)} ${this.#what}`
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${text}` : `${text}\n`)
  }
}
