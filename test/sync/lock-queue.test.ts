import { describe, expect, test } from 'vitest'
import { Deadline } from '../../src/sync/deadline.js'
import { KeyedLock, type LockMode } from '../../src/sync/keyed-lock.js'
import { Semaphore } from '../../src/sync/semaphore.js'
import { fakeClock, stoppedClock } from '../support/fake-clock.js'
import { rejectionOf } from '../support/rejection.js'

/** Long enough for every promise that can settle without the outside world. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('a queue with shared callers', () => {
  function arrange() {
    const { clock, count } = stoppedClock()
    const queue = new KeyedLock()
    const log: string[] = []
    const enter = async (mode: LockMode, name: string, signal?: AbortSignal) => {
      const leave = await queue.acquire('key', new Deadline(1_000, signal, clock), 'its turn', mode)
      log.push(name)
      return leave
    }
    return { queue, log, enter, count }
  }

  test('lets shared callers in together', async () => {
    const { enter, log } = arrange()
    await enter('shared', 'one')
    await enter('shared', 'two')
    expect(log).toEqual(['one', 'two'])
  })

  test('lets an exclusive caller in once all shared ones have left', async () => {
    const { enter, log } = arrange()
    const leaves = [await enter('shared', 'one'), await enter('shared', 'two')]
    void enter('exclusive', 'three')
    leaves[1]()
    await settle()
    expect(log).toEqual(['one', 'two'])
    leaves[0]()
    await settle()
    expect(log).toEqual(['one', 'two', 'three'])
  })

  test('lets no shared caller overtake an exclusive one that waits', async () => {
    const { enter, log } = arrange()
    const leave = await enter('shared', 'one')
    const two = enter('exclusive', 'two')
    void enter('shared', 'three')
    await settle()
    expect(log).toEqual(['one'])
    leave()
    await settle()
    expect(log).toEqual(['one', 'two'])
    ;(await two)()
    await settle()
    expect(log).toEqual(['one', 'two', 'three'])
  })

  test('lets the shared callers that wait in a row in together', async () => {
    const { enter, log } = arrange()
    const leave = await enter('exclusive', 'one')
    void enter('shared', 'two')
    void enter('shared', 'three')
    void enter('exclusive', 'four')
    void enter('shared', 'five')
    leave()
    await settle()
    expect(log).toEqual(['one', 'two', 'three'])
  })

  test('lets shared callers join the shared holders when the exclusive one between them gives up', async () => {
    const { enter, log } = arrange()
    const abort = new AbortController()
    await enter('shared', 'one')
    const two = rejectionOf(enter('exclusive', 'two', abort.signal))
    void enter('shared', 'three')
    abort.abort()
    await two
    await settle()
    expect(log).toEqual(['one', 'three'])
  })

  test('keeps everybody waiting behind an exclusive holder when those in between give up', async () => {
    const { enter, log } = arrange()
    const abort = new AbortController()
    const leave = await enter('exclusive', 'one')
    const quitters = [
      rejectionOf(enter('shared', 'two', abort.signal)),
      rejectionOf(enter('exclusive', 'three', abort.signal)),
    ]
    void enter('shared', 'four')
    abort.abort()
    await Promise.all(quitters)
    await settle()
    expect(log).toEqual(['one'])
    leave()
    await settle()
    expect(log).toEqual(['one', 'four'])
  })

  test('passes the turn on when it comes to a caller who is just giving up', async () => {
    const { enter, log } = arrange()
    const abort = new AbortController()
    const leave = await enter('exclusive', 'one')
    const two = rejectionOf(enter('exclusive', 'two', abort.signal))
    void enter('exclusive', 'three')
    abort.abort()
    leave()
    await two
    await settle()
    expect(log).toEqual(['one', 'three'])
  })

  test('ends the wait of a shared caller at its deadline', async () => {
    const { clock } = fakeClock()
    const queue = new KeyedLock()
    await queue.acquire('key', new Deadline(10, undefined, clock), 'its turn')
    const error = await rejectionOf(queue.acquire('key', new Deadline(10, undefined, clock), 'its turn', 'shared'))
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 10 })
  })

  test('never lets anybody in beside an exclusive caller, keeps the order, and leaves no trace', async () => {
    const { enter, log, queue, count } = arrange()
    const inside: LockMode[] = []
    const expected: string[] = []
    const caller = async (index: number) => {
      const mode = Math.random() < 0.5 ? 'shared' : 'exclusive'
      const abort = new AbortController()
      const isQuitter = Math.random() < 0.2
      const waiting = enter(mode, `${index}`, abort.signal)
      if (isQuitter) setImmediate(() => abort.abort())
      try {
        const leave = await waiting
        if (!isQuitter) expected.push(`${index}`)
        expect(inside.includes('exclusive') || (mode === 'exclusive' && inside.length > 0)).toBe(false)
        inside.push(mode)
        await settle()
        inside.splice(inside.indexOf(mode), 1)
        leave()
      } catch (error) {
        if (!abort.signal.aborted) throw error
      }
    }
    await Promise.all(Array.from({ length: 300 }, (_, index) => caller(index)))
    expect(log.map(Number)).toEqual(log.map(Number).sort((a, b) => a - b))
    expect(log).toEqual(expect.arrayContaining(expected))
    expect({ keys: queue.size, timers: count.timers }).toEqual({ keys: 0, timers: 0 })
  })
})

describe('a limiter', () => {
  function arrange(size: number) {
    const { clock, count } = stoppedClock()
    const limiter = new Semaphore(size)
    const log: string[] = []
    const enter = async (name: string, signal?: AbortSignal) => {
      const leave = await limiter.acquire(new Deadline(1_000, signal, clock), 'a place')
      log.push(name)
      return leave
    }
    return { limiter, log, enter, count }
  }

  test('lets as many in as it has places, and the next one when a place is given back', async () => {
    const { enter, log } = arrange(2)
    const leave = await enter('one')
    await enter('two')
    void enter('three')
    await settle()
    expect(log).toEqual(['one', 'two'])
    leave()
    await settle()
    expect(log).toEqual(['one', 'two', 'three'])
  })

  test('gives places first come, first served', async () => {
    const { enter, log } = arrange(1)
    const names = Array.from({ length: 20 }, (_, index) => `caller ${index}`)
    await Promise.all(
      names.map(async (name) => {
        const leave = await enter(name)
        await settle()
        leave()
      }),
    )
    expect(log).toEqual(names)
  })

  test('loses no place to a caller who gives up while it waits', async () => {
    const { enter, log } = arrange(1)
    const abort = new AbortController()
    const leave = await enter('one')
    const two = rejectionOf(enter('two', abort.signal))
    void enter('three')
    abort.abort()
    await two
    leave()
    await settle()
    expect(log).toEqual(['one', 'three'])
  })

  test('loses no place to a caller who is given it while it gives up', async () => {
    const { enter, log } = arrange(1)
    const abort = new AbortController()
    const leave = await enter('one')
    const two = rejectionOf(enter('two', abort.signal))
    void enter('three')
    abort.abort()
    leave()
    await two
    await settle()
    expect(log).toEqual(['one', 'three'])
  })

  test('rejects with the reason of the signal, or with the deadline', async () => {
    const { clock } = fakeClock()
    const limiter = new Semaphore(1)
    const reason = new Error('changed my mind')
    await limiter.acquire(new Deadline(10, undefined, clock), 'a place')
    const aborted = await rejectionOf(limiter.acquire(new Deadline(10, AbortSignal.abort(reason), clock), 'a place'))
    const late = await rejectionOf(limiter.acquire(new Deadline(10, undefined, clock), 'a place'))
    expect(aborted).toBe(reason)
    expect(late).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 10 })
  })

  test('never lets more in than it has places, and has all of them again in the end', async () => {
    const { enter, count } = arrange(3)
    let inside = 0
    const caller = async (index: number) => {
      const abort = new AbortController()
      const waiting = enter(`${index}`, abort.signal)
      if (Math.random() < 0.3) setImmediate(() => abort.abort())
      try {
        const leave = await waiting
        expect(++inside).toBeLessThanOrEqual(3)
        await settle()
        inside--
        leave()
      } catch (error) {
        if (!abort.signal.aborted) throw error
      }
    }
    await Promise.all(Array.from({ length: 300 }, (_, index) => caller(index)))
    await Promise.all([enter('one'), enter('two'), enter('three')])
    expect(count.timers).toBe(0)
  })
})
