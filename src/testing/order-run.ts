import type pg from 'pg'
import type { BodyName, OrderStep } from './broken-order.js'
import { Participant } from './participant.js'

/** Whose statement came next, and the other body if that could have been it. */
export interface Choice {
  readonly body: BodyName
  readonly other: BodyName | undefined
}

interface Bounds {
  readonly maxStatements?: number
  readonly patience?: number
}

interface Ended<A, B> {
  /** `undefined` if the order is not to be looked at. */
  readonly choices: readonly Choice[] | undefined
  readonly steps: readonly OrderStep[]
  readonly results: { readonly a: PromiseSettledResult<A>; readonly b: PromiseSettledResult<B> }
}

type Step = { -readonly [Key in keyof OrderStep]: OrderStep[Key] }

/** How long the server has to answer before it is asked whether the statement waits for a lock, in ms. */
const LOOK_AFTER = 3

/** Runs the two bodies in one order after the other. */
export class OrderRun<C> {
  readonly participants: Readonly<Record<BodyName, Participant<C>>>
  readonly #observer: pg.Client
  readonly #bounds: Required<Bounds>
  #steps: Step[] = []
  /** The step of each body whose statement waits for a lock. */
  readonly #waiting = new Map<BodyName, Step>()
  #wake = () => {}

  constructor(observer: pg.Client, { maxStatements = 200, patience = 10_000 }: Bounds) {
    this.#observer = observer
    this.#bounds = { maxStatements, patience }
    const watcher = {
      sent: (body: BodyName, statement: string) => {
        this.#steps.push({ body, statement, waitedFor: undefined })
      },
      changed: () => this.#wake(),
    }
    this.participants = { a: new Participant('a', watcher), b: new Participant('b', watcher) }
  }

  /** Runs one body without holding it. It must send something. */
  async alone<R>(name: BodyName, body: (client: C) => PromiseLike<R>): Promise<void> {
    const participant = this.participants[name]
    const before = participant.statements
    participant.isFree = true
    this.#steps = []
    const running = participant.run(body)
    await this.#ended()
    const result = await running
    if (participant.statements > before) return
    if (result.status === 'rejected') throw result.reason
    throw new Error(
      `The body ${name} has sent nothing on the client that it is given. It must use that one, and no other.`,
    )
  }

  /** Runs both in an order that begins in this way, and then changes from one to the other only where it must. */
  async inOrder<A, B>(
    beginning: readonly BodyName[],
    a: (client: C) => PromiseLike<A>,
    b: (client: C) => PromiseLike<B>,
  ): Promise<Ended<A, B>> {
    const both = Object.values(this.participants)
    for (const participant of both) participant.isFree = false
    this.#steps = []
    this.#waiting.clear()
    const running = Promise.all([this.participants.a.run(a), this.participants.b.run(b)])
    const choices = await this.#choose(beginning)
    for (const participant of both) participant.letGo()
    await this.#ended()
    const results = await running
    return { choices, steps: this.#steps, results: { a: results[0], b: results[1] } }
  }

  /** Lets one statement after the other through. `undefined`: the order cannot be followed, or does not end. */
  async #choose(beginning: readonly BodyName[]): Promise<Choice[] | undefined> {
    const choices: Choice[] = []
    for (;;) {
      const ready = await this.#next()
      if (ready.length === 0) return choices
      if (choices.length >= this.#bounds.maxStatements) return undefined
      const wanted = beginning[choices.length]
      const last = choices.at(-1)?.body
      const chosen = ready.find(({ name }) => name === (wanted ?? last)) ?? (wanted ? undefined : ready[0])
      if (chosen === undefined) return undefined
      choices.push({ body: chosen.name, other: ready.find((participant) => participant !== chosen)?.name })
      chosen.pass()
    }
  }

  /** Waits until it is known whose statement can be next. None: both have ended. */
  async #next(): Promise<Participant<C>[]> {
    const both = Object.values(this.participants)
    // The step before may have ended the wait for a lock.
    if (both.some(({ isBlocked }) => isBlocked)) await this.#look()
    this.#noteWaits()
    const end = performance.now() + this.#bounds.patience
    for (;;) {
      const states = both.map(({ state }) => state)
      if (!states.includes('busy')) {
        const ready = both.filter(({ state }) => state === 'ready')
        if (ready.length > 0 || !states.includes('blocked')) return ready
      }
      this.#checkPatience(end)
      await this.#change()
      await this.#look()
    }
  }

  /** Waits until both have ended, while nobody is held. */
  async #ended(): Promise<void> {
    const end = performance.now() + this.#bounds.patience
    while (Object.values(this.participants).some(({ state }) => state !== 'ended')) {
      this.#checkPatience(end)
      await this.#change()
    }
  }

  /** Waits until something happens, but not for long. */
  async #change(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, LOOK_AFTER)
    })
    clearTimeout(timer)
  }

  /** Asks the server which statements under way wait for a lock. */
  async #look(): Promise<void> {
    const both = Object.values(this.participants)
    const sessions = both.flatMap((participant) => participant.sessions)
    const blocked = sessions.length === 0 ? [] : await this.#blockedOf(sessions)
    for (const participant of both) participant.note(blocked)
    this.#noteWaits()
  }

  #noteWaits(): void {
    for (const { name, isBlocked } of Object.values(this.participants)) {
      const step = this.#waiting.get(name) ?? this.#steps.findLast(({ body }) => body === name)
      if (step === undefined) continue
      if (isBlocked) this.#waiting.set(name, step)
      else if (this.#waiting.delete(name)) step.waitedFor = this.#steps.length
    }
  }

  async #blockedOf(sessions: readonly number[]): Promise<number[]> {
    const { rows } = await this.#observer.query<{ pid: number }>(
      'SELECT pid FROM unnest($1::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0',
      [sessions],
    )
    return rows.map(({ pid }) => pid)
  }

  #checkPatience(end: number): void {
    if (performance.now() < end) return
    const both = Object.values(this.participants).filter(({ state }) => state !== 'ended')
    const names = both.map(({ name, state }) => `${name} is ${state}`).join(', ')
    const sent = this.#steps.map(
      ({ body, statement }) => `  ${body}  ${statement.replaceAll(/\s+/g, ' ').slice(0, 100)}`,
    )
    throw new Error(
      `Nothing has happened for ${this.#bounds.patience} ms: ${names}. A body must not wait for the other one, but in the ` +
        `database. What was sent:\n${sent.join('\n')}`,
    )
  }
}
