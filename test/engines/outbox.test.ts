import { expect, test } from 'vitest'
import { openConnection } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { note, useOutbox } from '../support/outbox.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connect, database, name }) => {
  const { add, newTopic, open } = useOutbox({ connect, name })
  /** Ends the session of a `tx`, as a server does whose client is gone. */
  const endBackend = async (tx: object) => {
    const [row] = await rows(tx, 'SELECT pg_backend_pid() AS pid')
    await database.query('SELECT pg_terminate_backend($1::int, 5000)', [row?.pid])
  }
  const left = async (topic: string) =>
    (await database.query('SELECT 1 FROM "OutboxMessage" WHERE topic = $1', [topic])).length

  test('a message is sent once its transaction is committed, and is gone then', async () => {
    const db = await open()
    const topic = newTopic()
    const seen: unknown[] = []
    const { id, position } = await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n: 7 }, { key: 'order 1' }))

    await db.$outbox.relay({ [topic]: async (message) => seen.push(message) }, { until: 'empty' })

    const createdAt = expect.any(Date)
    expect(seen).toEqual([{ id, position, topic, key: 'order 1', payload: { n: 7 }, attempt: 1, createdAt }])
    expect(await left(topic)).toBe(0)
    expect(await database.query('SELECT 1 FROM "OutboxKey" WHERE topic = $1', [topic])).toEqual([])
    // The key is made anew, and goes on with higher positions.
    const next = await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n: 8 }, { key: 'order 1' }))
    expect(next.position).toBeGreaterThan(position)
  })

  test('a message of a transaction that is rolled back is never sent', async () => {
    const db = await open()
    const topic = newTopic()
    const error = new Error('no')
    await rejectionOf(
      db.$transactionWithRetry(async (tx) => {
        await tx.$outbox.add(topic, { n: 1 }, { key: 'a' })
        throw error
      }),
    )
    const seen: number[] = []
    await add(db, topic, [2], 'a')
    await db.$outbox.relay({ [topic]: async ({ payload }) => seen.push(payload.n) }, { until: 'empty' })
    expect(seen).toEqual([2])
  })

  test('messages of one key are sent in the order of their commits, and one at a time', async () => {
    const db = await open()
    const topic = newTopic()
    const [added, held] = [gate(), gate()]
    // The first one that is added commits after the second one has asked.
    const first = started(
      db.$transactionWithRetry(async (tx) => {
        await tx.$outbox.add(topic, { n: 1 }, { key: 'a' })
        added.open()
        await held.opened
      }),
    )
    await added.opened
    const second = started(add(db, topic, [2, 3, 4], 'a'))
    await untilBlocked(database.url)
    held.open()
    await Promise.all([first, second])
    const seen: number[] = []
    let under = 0
    const handler = async ({ payload }: { payload: { n: number } }) => {
      expect(++under).toBe(1)
      seen.push(payload.n)
      await new Promise(setImmediate)
      under--
    }
    await Promise.all([0, 1].map(() => db.$outbox.relay({ [topic]: handler }, { until: 'empty' })))
    await db.$outbox.relay({ [topic]: handler }, { until: 'empty' })
    expect(seen).toEqual([1, 2, 3, 4])
  })

  test('add does not wait for a delivery of its key', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1], 'a')
    const seen: number[] = []
    await db.$outbox.relay(
      {
        [topic]: async ({ payload }) => {
          seen.push(payload.n)
          if (payload.n === 1) await add(db, topic, [2], 'a') // would wait for ever
        },
      },
      { until: 'empty' },
    )
    expect(seen).toEqual([1, 2])
  })

  test('what a handler writes is committed with the message, and a failure takes it back', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1])
    const options = { until: 'empty', retry: { baseDelay: 1, maxDelay: 1 } } as const
    const attempts: number[] = []
    const handler = async ({ attempt }: { attempt: number }, tx: object) => {
      attempts.push(attempt)
      await note(tx, `${topic} ${attempt}`)
      if (attempt < 3) throw new Error('not yet')
    }
    while ((await left(topic)) > 0) await db.$outbox.relay({ [topic]: handler }, options)
    expect(attempts).toEqual([1, 2, 3])
    expect(await database.query('SELECT text FROM "Note" WHERE text LIKE $1', [`${topic}%`])).toEqual([
      { text: `${topic} 3` },
    ])
  })

  test.each(['stop', 'skip'] as const)('a dead message with onDead %s', async (onDead) => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1, 2], 'a')
    const seen: number[] = []
    const told: unknown[] = []
    let isBroken = true
    const handlers = {
      [topic]: async ({ payload }: { payload: { n: number } }) => {
        if (payload.n === 1 && isBroken) throw new Error('bad\0 message')
        seen.push(payload.n)
      },
    }
    const options = { until: 'empty', retry: { attempts: 1 }, onDead } as const
    await db.$outbox.relay(handlers, { ...options, onError: (error, { id }, isDead) => told.push([error, id, isDead]) })

    const [dead, ...others] = await db.$outbox.dead({ topic })
    expect(others).toEqual([])
    expect(dead).toMatchObject({ topic, key: 'a', payload: { n: 1 }, attempt: 1, error: 'Error: bad\ufffd message' })
    expect(told).toEqual([[expect.any(Error), dead?.id, true]])
    expect(seen).toEqual(onDead === 'stop' ? [] : [2])
    await add(db, topic, [3], 'a')
    await db.$outbox.relay(handlers, options)
    expect(seen).toEqual(onDead === 'stop' ? [] : [2, 3])

    isBroken = false
    expect(await db.$outbox.redrive({ topic })).toEqual({ count: 1 })
    await db.$outbox.relay(handlers, options)
    expect(seen).toEqual(onDead === 'stop' ? [1, 2, 3] : [2, 3, 1])
    expect(await left(topic)).toBe(0)
  })

  test('a message that has failed is waited for, also when others of its key are added', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1], 'a')
    const attempts: number[] = []
    const handlers = {
      [topic]: async ({ attempt }: { attempt: number }) => {
        attempts.push(attempt)
        throw new Error('not yet')
      },
    }
    const relay = () => db.$outbox.relay(handlers, { until: 'empty', retry: { baseDelay: 3_600_000 } })
    await relay()
    await add(db, topic, [2], 'a')
    await relay()
    expect(attempts).toEqual([1])
  })

  test('a receiver that cannot be reached is a failure of the message, and not of the database', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1])
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    await db.$outbox.relay({ [topic]: () => Promise.reject(refused) }, { until: 'empty', retry: { attempts: 1 } })
    expect(await db.$outbox.dead({ topic })).toMatchObject([{ error: 'Error: connect ECONNREFUSED' }])
  })

  test('a dead message that is discarded lets its key go on', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1, 2], 'a')
    const seen: number[] = []
    const handlers = {
      [topic]: async ({ payload }: { payload: { n: number } }) => {
        if (payload.n === 1) throw new Error('bad')
        seen.push(payload.n)
      },
    }
    await db.$outbox.relay(handlers, { until: 'empty', retry: { attempts: 1 } })
    const [dead] = await db.$outbox.dead({ topic, key: 'a' })
    expect(await db.$outbox.discard({ id: dead?.id })).toEqual({ count: 1 })
    expect(await db.$outbox.discard({ id: dead?.id })).toEqual({ count: 0 })
    await db.$outbox.relay(handlers, { until: 'empty' })
    expect(seen).toEqual([2])
  })

  test('a relay that goes on until its signal sends what comes, at once when it is woken', async () => {
    const db = await open()
    const topic = newTopic()
    const end = new AbortController()
    let wake = () => {}
    const seen: number[] = []
    const sent = gate()
    const running = db.$outbox.relay(
      {
        [topic]: async ({ payload }) => {
          seen.push(payload.n)
          if (seen.length === 2) sent.open()
        },
      },
      {
        signal: end.signal,
        pollInterval: 100_000,
        subscribe: (given) => {
          wake = given
          return () => {
            wake = () => seen.push(-1)
          }
        },
      },
    )
    await Promise.all([
      running,
      (async () => {
        await add(db, topic, [1, 2])
        const waking = setInterval(() => wake(), 5)
        await sent.opened
        clearInterval(waking)
        end.abort()
      })(),
    ])
    wake()
    expect(seen.sort()).toEqual([-1, 1, 2])
  })

  test('with a channel, add notifies it at the commit', async () => {
    const db = await open({ notify: 'outbox.test' })
    const topic = newTopic()
    const heard = await openConnection(database.url)
    await heard.query('LISTEN "outbox.test"')
    const payloads: unknown[] = []
    heard.on('notification', ({ payload }) => payloads.push(payload))
    await add(db, topic, [1])
    await expect.poll(() => payloads).toEqual([topic])
  })

  test('bad input is refused by its name, and nothing is added', async () => {
    const db = await open()
    const topic = newTopic()
    const inside = (payload: unknown, options?: object) =>
      rejectionOf(db.$transactionWithRetry((tx) => tx.$outbox.add(topic, payload as never, options as never)))
    expect(await inside(undefined)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'payload' })
    expect(await inside({ n: 1n })).toMatchObject({ field: 'payload' })
    expect(await inside({ n: 'a\0' })).toMatchObject({ field: 'payload' })
    expect(await inside({ n: '\ud800' })).toMatchObject({ field: 'payload' })
    expect(await inside({ n: 1 }, { key: '' })).toMatchObject({ field: 'key' })
    expect(await inside({ n: 1 }, { kez: 'a' })).toMatchObject({ field: 'kez' })
    expect(await rejectionOf(db.$outbox.add(topic, { n: 1 }))).toMatchObject({ code: 'TRANSACTION_REQUIRED' })
    expect(await rejectionOf(db.$outbox.relay({}))).toMatchObject({ field: 'handlers' })
    expect(await rejectionOf(db.$outbox.relay({ [topic]: 1 as never }))).toMatchObject({ field: `handlers.${topic}` })
    const handlers = { [topic]: async () => {} }
    expect(await rejectionOf(db.$outbox.relay(handlers, { concurrency: 0 }))).toMatchObject({ field: 'concurrency' })
    expect(await left(topic)).toBe(0)
    await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n: 'a\\u0000' } as never))
    expect(await left(topic)).toBe(1)
  })

  test('a message whose delivery takes too long is free for the next one', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1])
    const late = gate()
    const pass = passingTimers()
    const seen: number[] = []
    const handler = async ({ attempt }: { attempt: number }, tx: object, { signal }: { signal: AbortSignal }) => {
      seen.push(attempt)
      if (attempt > 1) return
      const isOver = new Promise((resolve) => signal.addEventListener('abort', resolve))
      setImmediate(pass, 60_000)
      await isOver
      late.open()
      await note(tx, topic)
    }
    const options = { until: 'empty', timeout: 60_000, retry: { baseDelay: 1, maxDelay: 1 } } as const
    while ((await left(topic)) > 0) await db.$outbox.relay({ [topic]: handler }, options)
    await late.opened
    expect(seen).toEqual([1, 2])
    expect(await rows(db, 'SELECT 1 FROM "Note" WHERE text = $1', topic)).toEqual([])
  })

  test.each([
    ['before it is sent', 'cut'],
    ['and only its answer', 'drop'],
  ] as const)('a delivery whose COMMIT is lost %s takes effect once', async (_, fate) => {
    const proxy = await openProxy(database.url)
    const db = await open({}, { url: proxy.url })
    const topic = newTopic()
    await add(db, topic, [1, 2], 'a')
    let isFirst = true
    const handler = async ({ payload }: { payload: { n: number } }, tx: object) => {
      await note(tx, `${topic} ${payload.n}`)
      if (isFirst) proxy.next(/^COMMIT/, fate)
      isFirst = false
    }
    while ((await left(topic)) > 0) await db.$outbox.relay({ [topic]: handler }, { until: 'empty', concurrency: 1 })
    expect(await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY id', [`${topic}%`])).toEqual([
      { text: `${topic} 1` },
      { text: `${topic} 2` },
    ])
  })

  test('a relay goes on when the backend of a delivery is ended, and counts that delivery', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1], 'a')
    const attempts: number[] = []
    const handler = async ({ attempt }: { attempt: number }, tx: object) => {
      attempts.push(attempt)
      if (attempt === 1) await endBackend(tx)
      await note(tx, topic)
    }
    const options = { until: 'empty', retry: { baseDelay: 3_600_000 } } as const // the second comes at once
    while ((await left(topic)) > 0) await db.$outbox.relay({ [topic]: handler }, options)
    expect(attempts).toEqual([1, 2])
    expect(await database.query('SELECT 1 FROM "Note" WHERE text = $1', [topic])).toHaveLength(1)
  })

  test('a message in whose deliveries the connection ends is dead after its attempts, and stops its key alone', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1, 2], 'a')
    await add(db, topic, [3], 'b')
    const seen: unknown[] = []
    const told: unknown[] = []
    const handlers = {
      [topic]: async ({ payload, attempt }: { payload: { n: number }; attempt: number }, tx: object) => {
        seen.push([payload.n, attempt])
        if (payload.n !== 1) return
        await endBackend(tx)
        await note(tx, topic)
      },
    }
    const options = {
      until: 'empty',
      concurrency: 1,
      retry: { attempts: 3, baseDelay: 1, maxDelay: 1 },
      onError: (error: unknown, { attempt }: { attempt: number }, isDead: boolean) =>
        told.push([String(error), attempt, isDead]),
    } as const
    while ((await db.$outbox.dead({ topic })).length === 0) await db.$outbox.relay(handlers, options)

    const lost = 'Error: A delivery was begun, and its process or its connection ended before its end was noted.'
    expect(await db.$outbox.dead({ topic })).toMatchObject([{ payload: { n: 1 }, attempt: 3, error: lost }])
    expect(told).toEqual([1, 2, 3].map((attempt) => [lost, attempt, attempt === 3]))
    expect(seen.filter((one) => String(one).startsWith('1'))).toEqual([1, 2, 3].map((attempt) => [1, attempt]))
    await db.$outbox.relay(handlers, options)
    expect(seen).toContainEqual([3, 1])
    expect(seen).not.toContainEqual([2, 1])
  })

  test('a delivery that has a conflict runs again under its number', async () => {
    const db = await open()
    const topic = newTopic()
    await add(db, topic, [1], 'a')
    const attempts: number[] = []
    const handler = async ({ attempt }: { attempt: number }, tx: object) => {
      attempts.push(attempt)
      if (attempts.length < 3) await rows(tx, `DO $$BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END$$`)
    }
    await db.$outbox.relay({ [topic]: handler }, { until: 'empty', concurrency: 1 })
    expect(attempts).toEqual([1, 1, 1])
    expect(await left(topic)).toBe(0)
  })

  test('nor is a delivery lost that has a conflict, and whose message another worker takes', async () => {
    const db = await open()
    const topic = newTopic()
    for (let n = 0; n < 10; n++) await add(db, topic, [n], String(n))
    const runs = new Map<number, number[]>()
    const handler = async ({ payload: { n }, attempt }: { payload: { n: number }; attempt: number }, tx: object) => {
      const attempts = [...(runs.get(n) ?? []), attempt]
      runs.set(n, attempts)
      if (attempts.length < 3) await rows(tx, `DO $$BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END$$`)
    }
    const told: unknown[] = []
    const options = { until: 'empty', pollInterval: 1, onError: (error: unknown) => told.push(error) } as const
    while ((await left(topic)) > 0) await db.$outbox.relay({ [topic]: handler }, options)
    expect(told).toEqual([])
    expect([...runs.values()]).toEqual(Array(10).fill([1, 1, 1]))
  })

  test.each(['goes on', 'is out of time'] as const)(
    'a delivery that another relay has counted as lost, and that %s late, is not counted again, and takes no effect',
    async (fate) => {
      const [db, other] = await Promise.all([open(), open()])
      const topic = newTopic()
      await add(db, topic, [1], 'a')
      const pass = passingTimers()
      const attempts: number[] = []
      const late = async ({ attempt }: { attempt: number }, tx: object, { signal }: { signal: AbortSignal }) => {
        attempts.push(attempt)
        if (attempt > 1) throw new Error('after all')
        await endBackend(tx)
        await other.$outbox.relay(
          {
            [topic]: async ({ attempt }) => {
              attempts.push(attempt)
              throw new Error('not yet')
            },
          },
          { until: 'empty', concurrency: 1, retry: { baseDelay: 3_600_000 } },
        )
        if (fate === 'goes on') return note(tx, topic)
        const isOver = new Promise((resolve) => signal.addEventListener('abort', resolve))
        pass(60_000)
        await isOver
      }
      await db.$outbox.relay({ [topic]: late }, { until: 'empty', timeout: 60_000, concurrency: 1 })
      expect(attempts).toEqual([1, 2])
      expect(await database.query('SELECT attempts FROM "OutboxMessage" WHERE topic = $1', [topic])).toEqual([
        { attempts: 2 },
      ])
      expect(await rows(db, 'SELECT 1 FROM "Note" WHERE text = $1', topic)).toEqual([])
    },
  )
})
