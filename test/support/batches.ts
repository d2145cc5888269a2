import { DEFAULT_POLICY } from '../../src/retry/policy.js'
import { Batcher, type Job, settle } from '../../src/stock/batches.js'
import { itemOf } from '../../src/stock/item.js'
import type { Decision, Request } from '../../src/stock/request.js'
import type { Clock } from '../../src/sync/clock.js'
import { Deadline } from '../../src/sync/deadline.js'
import { gate } from './gate.js'
import { started } from './started.js'

interface Batch {
  /** The transaction ids of its requests, in their order. */
  readonly ids: readonly string[]
  /** Settles all of it. */
  finish(): void
  /** It goes on in parts: so much of it is settled, and the rest is not. */
  release(...ids: readonly string[]): void
}

/** The queue by itself: its batches are under way until the test says what becomes of them. */
export function queueOf(clock: Clock, limit = 1_000_000) {
  const batches: Batch[] = []
  const done: Decision = { status: 'done', replayed: false, lines: [] }
  const run = async (waiting: readonly Job[], release: (settled: readonly Job[]) => void) => {
    const { opened, open } = gate()
    batches.push({
      ids: waiting.map(({ request }) => request.transactionId),
      finish: open,
      release: (...ids) => release(waiting.filter(({ request }) => ids.includes(request.transactionId))),
    })
    await opened
    for (const each of waiting) settle(each, done)
  }
  const queue = new Batcher(run, limit, clock)
  /** A request for these items: `x y` are two. */
  const add = (transactionId: string, items: string, options: { signal?: AbortSignal; deadline?: number } = {}) => {
    const request: Request = {
      policy: DEFAULT_POLICY,
      deadline: new Deadline(options.deadline ?? 1_000_000, options.signal, clock),
      kind: 'move',
      transactionId,
      lines: items.split(' ').map((key) => ({ item: itemOf([key], key), quantity: 1n })),
      minimum: undefined,
      expiresIn: undefined,
    }
    return started(queue.add(request, (verdict) => verdict))
  }
  /** The batches that were sent so far, by the transaction ids in them. */
  const sent = async () => {
    await settled()
    return batches.map(({ ids }) => ids.join(' '))
  }
  const batch = (id: string): Batch => {
    const found = batches.findLast(({ ids }) => ids.includes(id))
    if (found === undefined) throw new Error(`${id} is in none of the batches.`)
    return found
  }
  return { queue, add, sent, batch }
}

/** Gives everything that needs no more than turns of the microtask queue the time to happen. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
