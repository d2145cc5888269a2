import { type HttpAnswer, type HttpRequest, sendTo } from './http.js'
import { startProcess } from './process.js'

/** A server in a process of its own that can be killed, and a client that does not give up. */
export class Machine {
  readonly #file: string
  readonly #work: object
  #process: ReturnType<typeof startProcess>
  #url: Promise<string>
  #unanswered = 0
  #sentAgain = 0

  /** `file` is one of test/support: it answers with the URL where it serves. */
  constructor(file: string, work: object) {
    this.#file = file
    this.#work = work
    this.#process = startProcess(file, work)
    this.#url = this.#process.answer<string>()
  }

  /** Requests that are on their way now. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** Requests that were sent again, since the machine had gone before it answered. */
  get sentAgain(): number {
    return this.#sentAgain
  }

  /** Kills it, without a chance to tidy up, and starts it again. */
  restart(): void {
    this.#process.kill()
    this.#process = startProcess(this.#file, this.#work)
    this.#url = this.#process.answer<string>()
  }

  /** Sends the request until there is an answer: again if the machine is killed, or says that it is busy. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    this.#unanswered++
    try {
      for (;;) {
        const url = this.#url
        try {
          const answer = await sendTo(await url, request)
          if (answer.status !== 503) return answer
        } catch (error) {
          if (url === this.#url) throw error // it is the one that runs: nobody has killed it
          this.#sentAgain++
        }
      }
    } finally {
      this.#unanswered--
    }
  }
}
