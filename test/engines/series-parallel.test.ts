import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { checksOf } from '../../src/cli/audit.js'
import { setupOf } from '../../src/engine/setup.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, type EngineOptions } from '../support/engines.js'
import { gate } from '../support/gate.js'
import type { ParallelOutcome, ParallelWork } from '../support/parallel-worker.js'
import { startProcess } from '../support/process.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import {
  allOf,
  openScopedSeries,
  type ParallelDb,
  partsOf,
  upTo,
  withParallelSeries,
} from '../support/scoped-series.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const ROLLBACK = new Error('rolled back on purpose')

describeEngines(({ name: engine, other, connect, database }) => {
  const open = async (options?: Partial<EngineOptions>) =>
    withParallelSeries(engine, (await connect(engine, options)).db)
  const newName = (kind = 'order') => `${kind}:${randomUUID()}`
  const parts = (name: string) => partsOf(database.query, name)
  const next = (db: ParallelDb, name: string, transactionId: string = randomUUID(), at?: Date) =>
    db.$transactionWithRetry(async (tx) => (await tx.$series.next(name, { transactionId, at })).value)
  const auditOf = async (db: ParallelDb, name: string) => {
    const setup = setupOf(db)
    const found: string[] = []
    for (const feature of setup?.features ?? []) {
      for (const check of checksOf(setup?.session as never, feature)) {
        for await (const { code, where } of check()) if (where.includes(name)) found.push(code)
      }
    }
    return found
  }

  /** Takes number 1. Where no number is free, a busy machine lets a holder open the block, which then keeps the counter. */
  async function openBlock(db: ParallelDb, name: string) {
    expect(await next(db, name)).toBe(1n)
  }

  /** A transaction that has a number, and is told later how it ends. */
  async function holder(db: ParallelDb, name: string, transactionId: string = randomUUID()) {
    const [taken, end] = [gate(), gate()]
    let error: Error | undefined
    let value = 0n
    const done = started(
      db.$transaction(
        async (tx) => {
          value = (await tx.$series.next(name, { transactionId })).value
          taken.open()
          await end.opened
          if (error) throw error
          return value
        },
        { timeout: 100_000 },
      ),
    )
    await Promise.race([taken.opened, done])
    return {
      value,
      commit: () => {
        end.open()
        return done
      },
      rollBack: async () => {
        error = ROLLBACK
        end.open()
        await rejectionOf(done)
      },
    }
  }

  test('nobody waits for the commit of another: open transactions have numbers of their own, the lowest first', async () => {
    const db = await open()
    const name = newName()
    await openBlock(db, name)
    const holders = [await holder(db, name), await holder(db, name), await holder(db, name)]

    expect(holders.map(({ value }) => value)).toEqual([2n, 3n, 4n])
    expect(await next(db, name)).toBe(5n)
    await Promise.all(holders.map(({ commit }) => commit()))
    expect(await parts(name)).toMatchObject({ used: [1, 2, 3, 4, 5] })
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('a rollback gives the number back, and the next one has it', async () => {
    const db = await open()
    const name = newName()
    await next(db, name)
    const [first, second] = [await holder(db, name), await holder(db, name)]
    await second.commit()

    await first.rollBack()

    expect(await next(db, name)).toBe(2n)
    expect(await next(db, name)).toBe(4n)
  })

  test('a savepoint that is rolled back gives the number back, and the transaction goes on', async () => {
    const db = await open()
    const name = newName()
    const value = await db.$transactionWithRetry(async (tx) => {
      const failed = tx.$transaction(async (inner) => {
        await inner.$series.next(name, { transactionId: 'a' })
        throw ROLLBACK
      })
      await rejectionOf(failed)
      return (await tx.$series.next(name, { transactionId: 'b' })).value
    })

    expect(value).toBe(1n)
  })

  test('a backend that is killed gives the number back', async () => {
    const db = await open()
    const name = newName()
    const held = await holder(db, name)
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`,
    )
    while (await isBusy()) await sleep(20)

    expect(await next(db, name)).toBe(1n)
    await rejectionOf(held.commit())
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('a transaction id has one number, and a replay gets it', async () => {
    const db = await open()
    const name = newName()
    const first = await db.$transactionWithRetry((tx) => tx.$series.next(name, { transactionId: 'a' }))
    await next(db, name)

    const again = await db.$transactionWithRetry((tx) => tx.$series.next(name, { transactionId: 'a' }))

    expect(first).toEqual({ value: 1n, text: '1', period: '', replayed: false })
    expect(again).toEqual({ ...first, replayed: true })
  })

  test('a call that waits for the same transaction id gets its number, and gives back the one that it had', async () => {
    const db = await open()
    const name = newName()
    await openBlock(db, name)
    const first = await holder(db, name, 'a')
    const second = started(next(db, name, 'a'))
    await untilBlocked(database.url)

    await first.commit()

    expect(await second).toBe(2n)
    expect(await next(db, name)).toBe(3n)
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('a call that waits for the same transaction id has its own number if that rolls back', async () => {
    const db = await open()
    const name = newName()
    await openBlock(db, name)
    const first = await holder(db, name, 'a')
    const second = started(next(db, name, 'a'))
    await untilBlocked(database.url)

    await first.rollBack()

    expect(await second).toBe(3n)
    expect(await next(db, name)).toBe(2n)
  })

  test.each(['RepeatableRead', 'Serializable'] as const)('numbers at %s are whole, too', async (isolationLevel) => {
    const db = await open()
    const name = newName()
    const calls = Array.from({ length: 8 }, () =>
      db.$transactionWithRetry(async (tx) => (await tx.$series.next(name, { transactionId: randomUUID() })).value, {
        isolationLevel,
        retry: { attempts: 100, deadline: 60_000 },
      }),
    )

    expect(new Set(await Promise.all(calls)).size).toBe(8)
    expect((await parts(name)).used).toHaveLength(8)
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('where no connection is left to open free numbers, the number is taken at the counter', async () => {
    const db = await open({ poolSize: 1 })
    const name = newName()

    expect([await next(db, name), await next(db, name)]).toEqual([1n, 2n])
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('the last number is given, and the one behind it is an overflow that leaves nothing', async () => {
    const db = await open()
    const name = newName('end')
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 97)`, [name])

    expect([await next(db, name), await next(db, name)]).toEqual([98n, 99n])
    expect(await rejectionOf(next(db, name))).toMatchObject({ code: 'SERIES_OVERFLOW', highest: 99n })
    expect(await parts(name)).toEqual({ used: [98, 99], voided: [], free: [], last: 99 })
  })

  test('each period has free numbers of its own', async () => {
    const db = await open()
    const name = newName('year')
    const [one, two] = [new Date('2031-05-05'), new Date('2032-05-05')]

    expect([await next(db, name, 'a', one), await next(db, name, 'b', two), await next(db, name, 'c', one)]).toEqual([
      1n,
      1n,
      2n,
    ])
  })

  test('a number is refused without a transaction id, and outside a transaction', async () => {
    const db = await open()
    const name = newName()

    expect(await rejectionOf(db.$transactionWithRetry((tx) => tx.$series.next(name)))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'transactionId',
    })
    expect(await rejectionOf(db.$series.next(name, { transactionId: 'a' }))).toMatchObject({
      code: 'TRANSACTION_REQUIRED',
    })
  })

  test('documents are created beside transactions that have numbers, once each', async () => {
    const db = await open()
    const name = `certificate:${randomUUID()}` as const
    const create = (transactionId: string) => db.$series.create(name, { transactionId, record: { id: randomUUID() } })
    await create(randomUUID())
    const held = await holder(db, name)
    const id = randomUUID()

    const [one, two] = [await create(id), await create(randomUUID())]
    const inTransaction = await db.$transactionWithRetry((tx) =>
      tx.$series.create(name, { transactionId: randomUUID(), record: { id: randomUUID() } }),
    )

    expect(new Set([one.value, two.value, inTransaction.value, held.value]).size).toBe(4)
    await held.commit()
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('peek tells the next number, and takes none', async () => {
    const db = await open()
    const [name, gapless] = [newName('short'), randomUUID()]
    const peeked = await db.$series.peek(name)
    await next(db, name)
    const held = await holder(db, name)
    await held.rollBack()

    expect(peeked).toEqual({ value: 5n, text: '5', period: '' })
    expect(await db.$series.peek(name)).toEqual({ value: 6n, text: '6', period: '' })
    expect(await db.$series.peek(gapless)).toEqual({ value: 1n, text: '1', period: '' })
    await db.$transactionWithRetry((tx) => tx.$series.next(gapless))
    expect(await db.$transactionWithRetry((tx) => tx.$series.peek(gapless))).toMatchObject({ value: 2n })
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('end:peek ${engine}', '', 99)`)
    expect(await rejectionOf(db.$series.peek(`end:peek ${engine}`))).toMatchObject({ code: 'SERIES_OVERFLOW' })
  })

  test('a free number is made void once, is given to nobody, and gaps tell why', async () => {
    const db = await open()
    const name = newName()
    await next(db, name)
    const args = { value: 2, reason: 'misprinted' }

    const first = await db.$series.void(name, args)
    const again = await db.$transactionWithRetry((tx) => tx.$series.void(name, args))
    await db.$series.void(name, { ...args, value: 3n })

    expect(first).toEqual({ period: '', value: 2n, reason: 'misprinted', replayed: false })
    expect(again).toEqual({ ...first, replayed: true })
    expect(await next(db, name)).toBe(4n)
    expect((await db.$series.gaps(name)).slice(0, 2)).toEqual([
      { period: '', from: 2n, to: 3n, why: 'void', reason: 'misprinted' },
      { period: '', from: 5n, to: 20n, why: 'free' },
    ])
    expect(await auditOf(db, name)).toEqual([])
  })

  test('a number of a gapless series is made void, if no transaction id has it', async () => {
    const db = await open()
    const name = randomUUID()
    await db.$transactionWithRetry((tx) => tx.$series.next(name))
    await db.$transactionWithRetry((tx) => tx.$series.next(name, { transactionId: 'a' }))
    await db.$transactionWithRetry((tx) => tx.$series.next(name))

    await db.$series.void(name, { value: 1, reason: 'torn' })

    expect(await db.$series.gaps(name)).toEqual([
      { period: '', from: 1n, to: 1n, why: 'void', reason: 'torn' },
      { period: '', from: 3n, to: 3n },
    ])
    expect(await rejectionOf(db.$series.void(name, { value: 1, reason: 'lost' }))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      fields: ['reason'],
    })
    expect(await rejectionOf(db.$series.void(name, { value: 2, reason: 'torn' }))).toMatchObject({
      code: 'SERIES_NUMBER',
      problem: 'used',
    })
    for (const value of [0, 4]) {
      expect(await rejectionOf(db.$series.void(name, { value, reason: 'torn' }))).toMatchObject({
        code: 'SERIES_NUMBER',
        problem: 'not taken',
      })
    }
    expect((await parts(name)).voided).toEqual([1])
  })

  test.each(['void', 'closePeriod'] as const)('a %s that is rolled back leaves numbers free', async (method) => {
    const db = await open()
    const name = newName()
    await next(db, name)
    const reason = 'misprinted'
    const failed = db.$transactionWithRetry(async (tx) => {
      if (method === 'void') await tx.$series.void(name, { value: 2, reason })
      else expect((await tx.$series.closePeriod(name, { reason })).voided).toHaveLength(19)
      throw ROLLBACK
    })

    expect(await rejectionOf(failed)).toBe(ROLLBACK)
    expect(await parts(name)).toEqual({ used: [1], voided: [], free: upTo(20).slice(1), last: 20 })
    expect(await next(db, name)).toBe(2n)
  })

  test('a lost answer of the commit of closePeriod is found: it tells the numbers that became void', async () => {
    const proxy = await openProxy(database.url)
    const db = await open({ url: proxy.url })
    const name = newName()
    await next(db, name)
    proxy.next(/^COMMIT/, 'drop')

    const { voided } = await db.$series.closePeriod(name, { reason: 'closed' })

    expect(voided).toEqual(upTo(20).slice(1).map(BigInt))
    expect(await parts(name)).toEqual({ used: [1], voided: upTo(20).slice(1), free: [], last: 20 })
    expect((await db.$series.closePeriod(name, { reason: 'closed' })).voided).toEqual([])
  })

  test('closePeriod beside another process that takes numbers makes each void once, and none that is used', async () => {
    const db = await open()
    const name = newName()
    const work = { url: database.url, engine: other, name, callers: 4, rounds: 12 } satisfies ParallelWork
    const taking = startProcess('parallel-worker.ts', work).answer<ParallelOutcome>()
    let isOver = false
    const over = taking.finally(() => (isOver = true))
    while (!isOver && (await parts(name)).used.length === 0) await sleep(5)
    const voided: number[] = []
    for (let round = 0; !isOver || round === 0; round++) {
      voided.push(...(await db.$series.closePeriod(name, { reason: `round ${round}` })).voided.map(Number))
    }

    const { committed, failures } = await over
    expect(failures).toEqual([])
    const { used, voided: inTable, last } = await parts(name)
    expect(used).toEqual([...committed].sort((a, b) => a - b))
    expect(inTable).toEqual(voided.sort((a, b) => a - b))
    expect(allOf(await parts(name))).toEqual(upTo(last))
    expect(await auditOf(db, name)).toEqual([])
  })

  test.each(['commit', 'rollBack'] as const)(
    'to void a number waits for the transaction that has taken it: after a %s',
    async (end) => {
      const db = await open()
      const name = newName()
      await openBlock(db, name)
      const held = await holder(db, name)
      const outcome = started(
        db.$series.void(name, { value: 2, reason: 'misprinted' }).then(undefined, (e: unknown) => e),
      )
      await untilBlocked(database.url)

      await held[end]()

      expect(await outcome).toMatchObject(
        end === 'commit' ? { code: 'SERIES_NUMBER', problem: 'used' } : { value: 2n, replayed: false },
      )
      expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
    },
  )

  test('a lost answer of a void is found: the number is void once', async () => {
    const proxy = await openProxy(database.url)
    const db = await open({ url: proxy.url })
    const name = newName()
    await next(db, name)
    proxy.next(/INSERT INTO "public"."SeriesVoid"/, 'drop')

    expect(await db.$series.void(name, { value: 2, reason: 'misprinted' })).toMatchObject({ value: 2n })
    expect((await parts(name)).voided).toEqual([2])
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('a lost answer of the commit of a number is found: it is used once', async () => {
    const proxy = await openProxy(database.url)
    const db = await open({ url: proxy.url })
    const name = newName()
    await next(db, name)
    proxy.next(/^COMMIT/, 'drop')

    expect(await next(db, name, 'mine')).toBe(2n)
    expect((await parts(name)).used).toEqual([1, 2])
    expect(allOf(await parts(name))).toEqual(upTo((await parts(name)).last))
  })

  test('void is refused for a series in blocks, and for a period that is missing', async () => {
    const db = await open()

    expect(await rejectionOf(db.$series.void('blocks:a', { value: 1, reason: 'a' }))).toMatchObject({ field: 'series' })
    expect(await rejectionOf(db.$series.void('year:a', { value: 1, reason: 'a' }))).toMatchObject({ field: 'period' })
    expect(await rejectionOf(db.$series.void('order:a', { value: 1, period: '2026', reason: 'a' }))).toMatchObject({
      field: 'period',
    })
    expect(await rejectionOf(db.$series.void('order:a', { value: 1, reason: '' }))).toMatchObject({ field: 'reason' })
    expect(await rejectionOf(db.$series.closePeriod('plain', { reason: 'a' }))).toMatchObject({ field: 'series' })
  })

  test('closePeriod waits for numbers that are taken, and makes all that are free void', async () => {
    const db = await open()
    const name = newName('year')
    const at = new Date('2033-05-05')
    await next(db, name, 'a', at)
    const [taken, end] = [gate(), gate()]
    let holding = 0
    const inFlight = (transactionId: string, fails: boolean) =>
      started(
        db.$transaction(async (tx) => {
          await tx.$series.next(name, { transactionId, at })
          if (++holding === 2) taken.open()
          await end.opened
          if (fails) throw ROLLBACK
        }),
      )
    const [kept, lost] = [inFlight('kept', false), inFlight('lost', true)]
    await taken.opened
    const closed = started(db.$series.closePeriod(name, { period: '2033', reason: 'end of the year' }))
    await untilBlocked(database.url)
    end.open()
    await Promise.allSettled([kept, lost])

    const { voided } = await closed
    const { used, voided: inTable, free, last } = await parts(name)
    expect(free).toEqual([])
    expect(used).toHaveLength(2)
    expect(voided.map(Number)).toEqual(inTable)
    expect([...used, ...inTable].sort((a, b) => a - b)).toEqual(upTo(last))
    expect((await db.$series.gaps(name)).map(({ why, reason }) => [why, reason])).toContainEqual([
      'void',
      'end of the year',
    ])
    expect(await db.$series.closePeriod(name, { period: '2033', reason: 'end' })).toEqual({
      period: '2033',
      voided: [],
    })
  })

  test('callers of two processes that find no free number at once open one block', async () => {
    const [one, two] = [await open(), await open()]
    const name = newName()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 0)`, [name])
    const blocker = await openTransaction(database.url, 'SELECT FROM "Series" WHERE name = $1 FOR UPDATE', [name])
    const calls = [started(next(one, name)), started(next(two, name))]
    await untilBlocked(database.url, 2)

    await blocker.query('COMMIT')

    expect((await Promise.all(calls)).sort()).toEqual([1n, 2n])
    expect(await parts(name)).toEqual({ used: [1, 2], voided: [], free: upTo(20).slice(2), last: 20 })
  })

  test('nobody opens free numbers of a period before the transaction that closes it is over', async () => {
    const db = await open()
    const name = newName()
    await next(db, name)
    const [closed, end] = [gate(), gate()]
    const closing = started(
      db.$transactionWithRetry(async (tx) => {
        const { voided } = await tx.$series.closePeriod(name, { reason: 'closed' })
        closed.open()
        await end.opened
        return voided
      }),
    )
    await closed.opened
    const later = started(next(db, name))
    await untilBlocked(database.url)

    end.open()

    expect(await closing).toEqual(upTo(20).slice(1).map(BigInt))
    expect(await later).toBe(21n)
    expect(allOf(await parts(name))).toEqual(upTo(40))
  })

  test('closePeriod finds the number that a replay puts back while it waits', async () => {
    const db = await open()
    const name = newName()
    await openBlock(db, name)
    const first = await holder(db, name, 'a')
    const replay = started(next(db, name, 'a'))
    await untilBlocked(database.url)
    const closing = started(db.$series.closePeriod(name, { reason: 'closed' }))
    await untilBlocked(database.url, 2)

    await first.commit()

    expect(await replay).toBe(2n)
    expect((await closing).voided.map(Number).sort((a, b) => a - b)).toEqual(upTo(20).slice(2))
    expect(await parts(name)).toEqual({ used: [1, 2], voided: upTo(20).slice(2), free: [], last: 20 })
  })

  test('a scope has free and void numbers of its own', async () => {
    const { db, companyId, otherId } = await openScopedSeries(engine, connect)
    const take = (id: number) =>
      db.$transactionWithRetry((tx) => tx.$series.in({ companyId: id }).next('order', { transactionId: 'a' }))

    expect([(await take(companyId)).value, (await take(otherId)).value]).toEqual([1n, 1n])
    await db.$series.void('order', { scope: { companyId }, value: 2, reason: 'torn' })
    await db.$series.closePeriod('order', { scope: { companyId }, reason: 'closed' })
    expect(await db.$series.in({ companyId }).gaps('order')).toMatchObject([
      { from: 2n, to: 2n, reason: 'torn' },
      { from: 3n, reason: 'closed' },
    ])
    expect(await db.$series.in({ companyId: otherId }).gaps('order')).toMatchObject([{ from: 2n, why: 'free' }])
    expect(await db.$series.in({ companyId: otherId }).peek('order')).toMatchObject({ value: 2n })
  })

  test('a number that is used and void, or free beyond the counter, is found by the audit', async () => {
    const db = await open()
    const name = newName()
    await next(db, name)
    await database.query(`INSERT INTO "SeriesVoid" (series, period, value, reason) VALUES ($1, '', 1, 'by hand')`, [
      name,
    ])
    await database.query(`INSERT INTO "SeriesFree" (series, period, value) VALUES ($1, '', 77)`, [name])
    await database.query(`DELETE FROM "SeriesFree" WHERE series = $1 AND value = 5`, [name])

    expect((await auditOf(db, name)).sort()).toEqual(['SERIES_COUNTER', 'SERIES_GAP', 'SERIES_TWICE'])
  })

  test('two processes in a storm, one of them killed, and backends that are terminated leave 1 to the last number', async () => {
    const db = await open()
    const name = newName()
    const work = { url: database.url, name, callers: 6 } as const
    const doomed = startProcess('parallel-worker.ts', { ...work, engine: other, rounds: 10_000 } satisfies ParallelWork)
    const survivor = startProcess('parallel-worker.ts', { ...work, engine, rounds: 25 } satisfies ParallelWork)
    const isUnderWay = async () => (await parts(name)).used.length > 20
    while (!(await isUnderWay())) await sleep(20)
    for (let kill = 0; kill < 5; kill++) {
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM (
  SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2
) AS victims`,
      )
      const { used, voided, free, last } = await snapshotOf(name)
      expect([...used, ...voided, ...free].sort((a, b) => a - b)).toEqual(upTo(last))
    }
    doomed.kill()
    const { committed, failures } = await survivor.answer<ParallelOutcome>()
    while (await isBusy()) await sleep(20)
    const closed = await db.$series.closePeriod(name, { reason: 'the storm is over' })

    expect(failures).toEqual([])
    const { used, free, last } = await parts(name)
    expect(used).toEqual(expect.arrayContaining([...committed]))
    expect(new Set(committed).size).toBe(committed.length)
    expect(free).toEqual([])
    expect([...used, ...closed.voided.map(Number)].sort((a, b) => a - b)).toEqual(upTo(last))
    expect(await auditOf(db, name)).toEqual([])
  })

  /** All of one moment, while others write. */
  async function snapshotOf(name: string) {
    const [row] = await database.query(
      `SELECT ARRAY(SELECT value::int FROM "SeriesNumber" WHERE series = $1) AS used,
  ARRAY(SELECT value::int FROM "SeriesVoid" WHERE series = $1) AS voided,
  ARRAY(SELECT value::int FROM "SeriesFree" WHERE series = $1) AS free,
  (SELECT last::int FROM "Series" WHERE name = $1) AS last`,
      [name],
    )
    return row as { used: number[]; voided: number[]; free: number[]; last: number }
  }

  /** Whether a transaction of the killed process is open still. */
  async function isBusy() {
    const [row] = await database.query(
      `SELECT count(*)::int AS count FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
    )
    return Number(row?.count) > 0
  }
})
