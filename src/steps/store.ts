import { decimalMaker } from '../engine/decimal.js'
import type { Session, SqlStatement, TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, isConcurrencyError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { decodeAnswer, encodeAnswer, hasDecimal } from '../idempotency/answer.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import type { Patience } from '../retry/call-options.js'
import { readConfirmed } from '../retry/confirm.js'
import { retry } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { readAgain } from '../retry/read-again.js'
import { isRetryableStatement } from '../retry/retryable.js'
import { partOf, patienceWith, type RetryingRoot, type TransactionWithRetryOptions } from '../transactions/method.js'
import type { StepsMap } from './mapping.js'
import { type OperationName, type OperationRow, readStatement, type StoredOperation } from './statements.js'

const DEFAULT_ANSWER_LIMIT = 65_536

export interface StoreParts {
  readonly root: RetryingRoot
  readonly map: StepsMap
  readonly policy: ResolvedPolicy
  readonly answerLimit: number | undefined
  readonly options: TransactionWithRetryOptions
  readonly events: CallEvents | undefined
}

/** The row of one operation, for one call. */
export class OperationStore {
  readonly name: OperationName
  readonly map: StepsMap
  readonly session: Session
  /** Tells what this call has stored from what others have. */
  readonly author = crypto.randomUUID()
  readonly #parts: StoreParts

  constructor(name: OperationName, parts: StoreParts) {
    this.name = name
    this.map = parts.map
    this.session = parts.root
    this.#parts = parts
  }

  /**
   * Sends a statement of which it does not matter whether it comes twice; resolves to whether it has written. No signal ends
   * it: work that has been done is noted.
   */
  async write(statement: SqlStatement): Promise<boolean> {
    const { policy, deadline } = this.#patience()
    const outcome = new AmbiguousOutcome()
    const send = async () => {
      try {
        const rows = await this.#parts.root.until(deadline).rows(statement)
        outcome.settle()
        return rows.length > 0
      } catch (error) {
        outcome.note(error)
        throw error
      }
    }
    try {
      return await retry(send, policy, deadline, (error) => isRetryableStatement(error, policy))
    } catch (error) {
      throw outcome.lastError(error)
    }
  }

  /** Reads the row, which an earlier call may have written. */
  async read(): Promise<StoredOperation | undefined> {
    const patience = this.#patience()
    const session = this.#parts.root.until(patience.deadline)
    const { deadline } = patience
    const read = () => this.readIn(session)
    return readAgain(patience, () => readConfirmed(session, { deadline, read, isFound: (row) => row !== undefined }))
  }

  /** The same in a session; locks the row first where that is asked for. */
  async readIn(session: Pick<Session, 'rows'>, lock = false): Promise<StoredOperation | undefined> {
    const [row] = await session.rows<OperationRow>(readStatement(this.map, this.name, lock))
    return row && { ...row, steps: JSON.parse(row.steps) }
  }

  /**
   * A transaction that has the row locked, so of several runners one after the other looks whether the work is done. After a
   * lost COMMIT of which the server can no longer tell what became of it, it runs again, and the row tells.
   */
  async locked<T>(work: (tx: TransactionSession, row: StoredOperation | undefined) => Promise<T>): Promise<T> {
    const { root, events, options } = this.#parts
    let isAtCommit = false
    const run = () =>
      root.transactionWithRetry(
        async (tx) => {
          isAtCommit = false
          const result = await work(tx, await this.readIn(tx, true))
          isAtCommit = true
          return result
        },
        partOf(events, { ...options }),
      )
    try {
      return await run()
    } catch (error) {
      if (!isAtCommit || !isConcurrencyError(error, 'OUTCOME_UNKNOWN')) throw error
      return run().catch((again: unknown) => {
        throw isNoAnswer(again) ? error : again
      })
    }
  }

  /** @throws InvalidArgumentError if it could not come back as it is */
  encode(answer: unknown, path: string): string {
    const text = encodeAnswer(answer)
    const { answerLimit = DEFAULT_ANSWER_LIMIT } = this.#parts
    if (text.length <= answerLimit) return text
    throw new InvalidArgumentError(
      path,
      `takes ${text.length} characters as JSON, more than the ${answerLimit} that are stored. Return less, or raise \`answerLimit\`; it was not stored.`,
    )
  }

  async decode(text: string, session = this.session): Promise<unknown> {
    return decodeAnswer(text, hasDecimal(text) ? await decimalMaker(session) : String)
  }

  #patience(): Patience {
    const { retry, timeout } = this.#parts.options
    const patience = patienceWith(this.#parts.policy, { retry, timeout })
    patience.deadline.events = this.#parts.events
    return patience
  }
}

/** The answer of an operation that is over, and the call that has stored it. */
export function answerIn({ answer }: Pick<StoredOperation, 'answer'>): {
  readonly author: string
  readonly text: string
} {
  const [author = ''] = answer?.split(' ', 1) ?? []
  return { author, text: answer?.slice(author.length + 1) ?? '' }
}
