import { InvalidArgumentError, OperationRefusedError, StepMismatchError } from '../errors/index.js'
import { confirm } from '../retry/confirm.js'
import { type Effect, effectsOf } from '../transactions/effects.js'
import { sha256 } from '../values/sha256.js'
import { keyTextSchema } from '../values/validation.js'
import {
  answerStatement,
  appendStatement,
  endStatement,
  refusedStatement,
  type StoredOperation,
  type StoredStep,
  undoneStatement,
} from './statements.js'
import { answerIn, type OperationStore } from './store.js'
import type { Operation } from './types.js'

/** The row has moved on since a run has read it: the body has to run again, from what is stored now. */
export class Overtaken extends Error {
  constructor() {
    super('Another call has gone on with the operation. The body runs again behind its last step.')
  }
}

/** The functions of a step. Both are given a `P`: a `tx`, or a key. */
interface Parts<P, A> {
  readonly run: (given: P) => Promise<A>
  readonly undo?: (given: P, answer: A) => Promise<unknown>
}
type Given<P, A> = Parts<P, A>['run'] | Parts<P, A>

/** How a step that was done is undone. */
interface Undo {
  readonly n: number
  readonly run: () => Promise<unknown>
}

/** One run of the body, from what is stored of its operation. It keeps no lock and no connection between its steps. */
export class OperationRun implements Operation<object> {
  readonly scope: string
  readonly key: string
  readonly #store: OperationStore
  readonly #signal: AbortSignal | undefined
  /** The row, as it was read last. */
  #stored: StoredOperation
  /** How many steps this run has the answers of. */
  #n = 0
  readonly #names = new Set<string>()
  readonly #undos: Undo[] = []
  /** The step that is under way. */
  #current: Promise<unknown> | undefined
  /** An external call that was made, and whose answer is not stored. */
  #unanswered: string | undefined
  /** The first error of a step. The run ends with it, also if the body goes on. */
  #failure: { readonly error: unknown } | undefined
  #refusal: { readonly error: OperationRefusedError; readonly text: string } | undefined
  #isOver = false

  constructor(store: OperationStore, stored: StoredOperation, signal: AbortSignal | undefined) {
    this.scope = store.name.scope
    this.key = store.name.key
    this.#store = store
    this.#signal = signal
    this.#stored = stored
  }

  step<R>(name: string, given: Given<object, R>): Promise<R> {
    return this.#next(name, given, async ({ run, undo }, n) => {
      const answer = await this.#inDatabase(n, name, run)
      if (undo) this.#undos.push({ n, run: () => this.#undoInDatabase(n, (tx) => undo(tx, answer)) })
      return answer
    })
  }

  external<R>(name: string, given: Given<string, R>): Promise<R> {
    return this.#next(name, given, async ({ run, undo }, n) => {
      const answer = await this.#outside(n, name, run)
      if (undo) this.#undos.push({ n, run: () => this.#undoOutside(n, () => undo(this.#keyOf(name, 'undo'), answer)) })
      return answer
    })
  }

  /** A step in the database that has failed has left nothing, so the operation can be refused behind it. */
  refuse(answer: unknown): never {
    this.#check({ afterFailure: true })
    if (this.#failure?.error instanceof Overtaken) throw this.#failure.error
    if (this.#unanswered !== undefined) {
      const call = JSON.stringify(this.#unanswered)
      throw this.#failed(
        new InvalidArgumentError(
          'answer',
          `is given while the outcome of the external call ${call} is not known, so nobody can tell whether to undo it. Return what the other side refuses it with as its answer, and refuse then.`,
        ),
      )
    }
    const text = this.#store.encode(answer, 'answer')
    this.#refusal = { error: new OperationRefusedError(this.scope, this.key, answer), text }
    throw this.#refusal.error
  }

  /**
   * Runs the body, and stores its end.
   *
   * @throws Overtaken if it has to run again
   */
  async run<R>(body: (operation: Operation<object>) => Promise<R>): Promise<R> {
    const outcome = await Promise.resolve()
      .then(() => body(this))
      .then(
        (result) => ({ result }),
        (error: unknown) => ({ error }),
      )
    this.#isOver = true
    // One that the body has not waited for belongs to the run all the same.
    await this.#current?.catch(() => {})
    const failure = this.#failure?.error
    if (failure instanceof Overtaken) throw failure
    const missed = this.#stored.steps[this.#n]
    if (this.#refusal || (this.#stored.state === 'refusing' && !missed)) {
      if (missed) throw this.#mismatch(undefined, missed)
      return this.#refuseOperation()
    }
    if ('error' in outcome) throw outcome.error
    if (this.#failure) throw failure
    if (missed) throw this.#mismatch(undefined, missed)
    await this.#end('done', this.#store.encode(outcome.result, 'result'))
    return outcome.result
  }

  async #next<P, A>(name: string, given: Given<P, A>, take: (parts: Parts<P, A>, n: number) => Promise<A>): Promise<A> {
    try {
      const parts = this.#checked(name, given)
      const n = this.#n
      // Later: a call from inside must find that a step is under way.
      const work = Promise.resolve().then(() => take(parts, n))
      this.#current = work.finally(() => {
        this.#current = undefined
      })
      this.#current.catch(() => {}) // it is told below
      const answer = await work
      this.#n++
      return answer
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Steps come one after the other, each under a name of its own. */
  #checked<P, A>(name: string, given: Given<P, A>): Parts<P, A> {
    this.#check()
    this.#signal?.throwIfAborted()
    if (this.#current) {
      throw new InvalidArgumentError('name', 'is that of a second step at once. Await each step before the next.')
    }
    const [issue] = keyTextSchema.find(name)
    if (issue) throw new InvalidArgumentError('name', `${issue.message}.`)
    if (this.#names.has(name)) {
      throw new InvalidArgumentError('name', `is ${JSON.stringify(name)} for the second time. Each step has its own.`)
    }
    const parts = partsOf(given)
    this.#names.add(name)
    return parts
  }

  /** Runs the function in a transaction that stores its answer, unless an answer is stored. */
  async #inDatabase<A>(n: number, name: string, run: (tx: object) => Promise<A>): Promise<A> {
    const known = this.#known(n, name)
    if (known) return this.#answerOf<A>(known)
    await this.#refuseAgain()
    const { author, map, name: of } = this.#store
    let effects: readonly Effect[] = []
    return this.#store.locked(async (tx, row) => {
      const found = this.#renewed(row, n, name)
      if (found) {
        await confirm(tx)
        // Its own, whose COMMIT was lost.
        if (found.by === author) effectsOf(tx).push(...effects)
        return this.#answerOf<A>(found, tx)
      }
      const answer = await run(tx.client)
      if (this.#refusal) throw this.#refusal.error // caught by the function
      const step = { name, answer: this.#store.encode(answer, name), by: author }
      const written = await tx.rows(appendStatement(map, of, n, step))
      if (written.length === 0) throw new Overtaken()
      effects = effectsOf(tx)
      return answer
    })
  }

  /**
   * Makes the call, and stores its answer, unless an answer is stored.
   *
   * It is noted first that the call begins. So nobody refuses the operation without having come to this step, and a runner
   * that comes late, when it is refused, does not make the call. Runners at once make it with the same key, and all have the
   * answer that was stored first.
   */
  async #outside<A>(n: number, name: string, run: (key: string) => Promise<A>): Promise<A> {
    const begun = this.#known(n, name) ?? (await this.#beginOutside(n, name))
    if (begun?.answer !== undefined) return this.#answerOf<A>(begun)
    this.#unanswered = name
    const answer = await run(this.#keyOf(name))
    const { map, name: of } = this.#store
    const step = { name, answer: this.#store.encode(answer, name) }
    const isFirst = await this.#store.write(answerStatement(map, of, n, step))
    const first = isFirst ? undefined : this.#renewed(await this.#store.read(), n, name)
    if (!isFirst && first?.answer === undefined) throw new Overtaken()
    this.#unanswered = undefined
    return first ? this.#answerOf<A>(first) : answer
  }

  /** Resolves to what another runner has stored of the step. */
  async #beginOutside(n: number, name: string): Promise<StoredStep | undefined> {
    await this.#refuseAgain()
    const { map, name: of } = this.#store
    if (await this.#store.write(appendStatement(map, of, n, { name }))) return undefined
    const known = this.#renewed(await this.#store.read(), n, name)
    if (!known) throw new Overtaken()
    return known
  }

  /** Undoes all steps that can be undone, the last one first: one that fails is gone on with by the next call. */
  async #refuseOperation(): Promise<never> {
    const { map, name } = this.#store
    const undos = this.#undos.reverse()
    if (this.#stored.state === 'running') {
      await this.#end(undos.length > 0 ? 'refusing' : 'refused', this.#refusal?.text ?? '')
    } else if (!this.#refusal || this.#refusal.text !== answerIn(this.#stored).text) {
      await this.#readRefusal() // the answer is the one that is stored
    }
    for (const { run } of undos) await run()
    if (undos.length > 0 || this.#stored.state === 'refusing') await this.#store.write(refusedStatement(map, name))
    throw this.#refusal?.error
  }

  #undoInDatabase(n: number, undo: (tx: object) => Promise<unknown>): Promise<void> {
    const { map, name } = this.#store
    return this.#store.locked(async (tx, row) => {
      if (row?.state !== 'refusing' || row.steps[n]?.undone) return confirm(tx)
      await undo(tx.client)
      const written = await tx.rows(undoneStatement(map, name, n))
      if (written.length === 0) throw new Overtaken()
    })
  }

  async #undoOutside(n: number, undo: () => Promise<unknown>): Promise<void> {
    const { map, name } = this.#store
    const row = await this.#store.read()
    if (row?.state !== 'refusing' || row.steps[n]?.undone) return
    await undo()
    await this.#store.write(undoneStatement(map, name, n))
  }

  async #end(state: 'done' | 'refusing' | 'refused', text: string): Promise<void> {
    const { author, map, name } = this.#store
    const end = { state, answer: `${author} ${text}` }
    if (!(await this.#store.write(endStatement(map, name, this.#n, end)))) throw new Overtaken()
  }

  /** An operation that is being refused takes no new step: the body has come to where it was refused. */
  async #refuseAgain(): Promise<void> {
    if (this.#stored.state === 'running') return
    throw (await this.#readRefusal()).error
  }

  async #readRefusal() {
    const { text } = answerIn(this.#stored)
    const answer = await this.#store.decode(text)
    return (this.#refusal = { error: new OperationRefusedError(this.scope, this.key, answer), text })
  }

  /** The step with this number in a row that was just read. Steps of other runners that are behind it are known from now on. */
  #renewed(row: StoredOperation | undefined, n: number, name: string): StoredStep | undefined {
    if (row?.state !== 'running' || row.steps.length < n) throw new Overtaken()
    this.#stored = row
    return this.#known(n, name)
  }

  #known(n: number, name: string): StoredStep | undefined {
    const known = this.#stored.steps[n]
    if (known && known.name !== name) throw this.#mismatch(name, known)
    return known
  }

  async #answerOf<A>(step: StoredStep, session = this.#store.session): Promise<A> {
    // Only an external call is stored before its answer.
    if (step.answer === undefined) throw this.#mismatch(step.name, step)
    return (await this.#store.decode(step.answer, session)) as A
  }

  /** The same for each run, on each machine. */
  #keyOf(...names: readonly string[]): string {
    return sha256(JSON.stringify([this.scope, this.key, ...names]))
  }

  #check({ afterFailure = false } = {}): void {
    if (this.#isOver) throw new InvalidArgumentError('op', 'is over: its body has ended. Await every step in the body.')
    if (this.#refusal) throw this.#refusal.error
    if (this.#failure && !afterFailure) throw this.#failure.error
  }

  #failed(error: unknown): unknown {
    if (error !== this.#refusal?.error) this.#failure ??= { error }
    return error
  }

  #mismatch(asked: string | undefined, { name }: StoredStep): StepMismatchError {
    return new StepMismatchError(this.scope, this.key, asked, name)
  }
}

function partsOf<P, A>(given: Given<P, A>): Parts<P, A> {
  const parts = typeof given === 'function' ? { run: given } : given
  const isFunction = (part: unknown) => typeof part === 'function'
  const isRight = typeof parts === 'object' && parts !== null && isFunction(parts.run)
  if (isRight && (parts.undo === undefined || isFunction(parts.undo))) return parts
  throw new InvalidArgumentError('run', 'must be a function, or an object with the functions `run` and `undo`.')
}
