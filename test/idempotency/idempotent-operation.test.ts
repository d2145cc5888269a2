import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { connectTo } from '../support/connect-to.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

type Client = ReturnType<typeof connect>['db']
type Body = Pick<Client, 'note'>

/** Nobody shall give up because the machine is slow. */
const patient = { retry: { deadline: 100_000 } }

/** A name that no other test uses: as a key, and as the text of the note that the operation writes. */
const operation = () => ({ key: randomUUID(), scope: 'test' })

const note = (text: string) => (tx: Body) => tx.note.create({ data: { text } })
const never = async () => {
  throw new Error('The body ran again.')
}
const notesOf = (text: string) => database.query('SELECT id FROM "Note" WHERE text = $1', [text])
const keysOf = (key: string) => database.query('SELECT scope, answer FROM "IdempotencyKey" WHERE key = $1', [key])
const traces = async (key: string) => ({ notes: (await notesOf(key)).length, keys: (await keysOf(key)).length })

/** Starts the operation, and leaves it standing in its body, with the note written, until `finish` or `fail`. */
async function standing(db: Client, call: { key: string; scope: string }) {
  const standing = gate()
  const going = gate()
  let failure: Error | undefined
  const done = db.$idempotent({ ...call, ...patient }, async (tx) => {
    const written = await tx.note.create({ data: { text: call.key } })
    standing.open()
    await going.opened
    if (failure) throw failure
    return written
  })
  done.catch(() => {})
  await Promise.race([standing.opened, done])
  return {
    done,
    finish: going.open,
    fail: (error: Error) => {
      failure = error
      going.open()
    },
  }
}

test('the effects, the key and the answer are committed by one transaction', async () => {
  const { db } = connect()
  const call = operation()

  await db.$idempotent(call, note(call.key))

  const rows = await database.query(
    `SELECT n.xmin AS note, k.xmin AS key, k.answer IS NOT NULL AS "isAnswered"
FROM "Note" AS n JOIN "IdempotencyKey" AS k ON k.key = n.text WHERE k.key = $1`,
    [call.key],
  )
  expect(rows).toEqual([{ note: rows[0].key, key: rows[0].key, isAnswered: true }])
})

test('a second call gets the stored answer without running its body', async () => {
  const { db } = connect()
  const call = operation()
  const first = await db.$idempotent(call, note(call.key))

  const second = await db.$idempotent(call, never)

  expect(first).toEqual({ replayed: false, result: { id: expect.any(Number), text: call.key } })
  expect(second).toEqual({ replayed: true, result: first.result })
})

test('a table of keys that is locked, as by a migration, keeps a call and its connection no longer than the deadline', async () => {
  const { db, pool } = connect()
  await db.note.count()
  const migration = await openTransaction(database.url, 'LOCK TABLE "IdempotencyKey" IN ACCESS EXCLUSIVE MODE')
  const error = await rejectionOf(db.$idempotent({ ...operation(), retry: { deadline: 2_000 } }, never))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS' })
  await expect.poll(() => pool.totalCount - pool.idleCount, { timeout: 60_000 }).toBe(0)
  await migration.query('ROLLBACK')
})

test('an operation costs three statements besides its own, and a replay three in all, each in one transaction', async () => {
  const { db, statements } = connect()
  await db.note.count()
  const call = operation()
  const sent = async (run: () => Promise<unknown>) => {
    statements.length = 0
    await run()
    return statements.map((statement) => /^(\w+ (INTO|"public"\S+)?)|^\w+/.exec(statement)?.[0].trim())
  }

  const first = await sent(() => db.$idempotent(call, note(call.key)))
  const second = await sent(() => db.$idempotent(call, never))

  expect(first).toEqual(['BEGIN', 'SELECT', 'INSERT INTO', 'INSERT INTO', 'UPDATE "public"."IdempotencyKey"', 'COMMIT'])
  expect(second).toEqual(['BEGIN', 'SELECT', 'INSERT INTO', 'SELECT', 'COMMIT'])
})

test.each([
  { thrown: 'an error', value: new Error('declined') },
  { thrown: 'a string', value: 'declined' },
  { thrown: 'undefined', value: undefined },
])('a body that throws $thrown leaves neither key nor effect, and the next call runs', async ({ value }) => {
  const { db } = connect()
  const call = operation()
  const failing = db.$idempotent(call, async (tx) => {
    await note(call.key)(tx)
    throw value
  })

  expect(await rejectionOf(failing)).toBe(value)

  expect(await traces(call.key)).toEqual({ notes: 0, keys: 0 })
  expect(await db.$idempotent(call, async () => 'ran')).toEqual({ replayed: false, result: 'ran' })
})

test('the same key with another request is refused, and nothing is written', async () => {
  const { db } = connect()
  const call = operation()
  await db.$idempotent({ ...call, request: { amount: 1 } }, note(call.key))
  const before = await keysOf(call.key)

  const error = await rejectionOf(db.$idempotent({ ...call, request: { amount: 2 } }, note(call.key)))

  expect(error).toMatchObject({
    code: 'IDEMPOTENCY_MISMATCH',
    model: 'IdempotencyKey',
    where: { scope: call.scope, key: call.key },
    fields: ['request'],
  })
  expect(await notesOf(call.key)).toHaveLength(1)
  expect(await keysOf(call.key)).toEqual(before)
})

test('the order of the keys in a request, and what is undefined in it, play no part', async () => {
  const { db } = connect()
  const call = operation()
  await db.$idempotent({ ...call, request: { a: 1, b: { c: [1, 2], d: 4 } } }, async () => 'ran')

  const second = await db.$idempotent({ ...call, request: { b: { d: 4, c: [1, 2] }, e: undefined, a: 1 } }, never)

  expect(second).toEqual({ replayed: true, result: 'ran' })
})

test.each([
  { what: 'items of a list', one: [1, 2], other: [2, 1] },
  { what: 'a number and its text', one: { a: 1 }, other: { a: '1' } },
  { what: 'null and nothing', one: { a: null }, other: {} },
  { what: 'a request and none', one: {}, other: undefined },
  { what: 'dates', one: new Date(1), other: new Date(2) },
  { what: 'bytes', one: Uint8Array.of(1), other: Uint8Array.of(2) },
  { what: 'maps', one: new Map([['a', 1]]), other: new Map([['a', 2]]) },
  { what: 'sets', one: new Set([1]), other: new Set([2]) },
  { what: 'URLs', one: new URL('http://x/1'), other: new URL('http://x/2') },
  { what: 'parameters of a URL', one: new URLSearchParams('a=1'), other: new URLSearchParams('a=2') },
])('a request that differs in $what is another request', async ({ one, other }) => {
  const { db } = connect()
  const call = operation()
  await db.$idempotent({ ...call, request: one }, async () => 'ran')

  expect(await rejectionOf(db.$idempotent({ ...call, request: other }, never))).toMatchObject({
    code: 'IDEMPOTENCY_MISMATCH',
  })
})

test('a key in another scope is another key', async () => {
  const { db } = connect()
  const [a, b] = [randomUUID(), randomUUID()]
  const calls = [
    { scope: 'tenant 1', key: a },
    { scope: 'tenant 2', key: a },
    { scope: `${a} ${b}`, key: 'c' },
    { scope: a, key: `${b} c` },
  ]

  const outcomes = await Promise.all(calls.map((call, index) => db.$idempotent(call, async () => index)))

  expect(outcomes).toEqual([0, 1, 2, 3].map((result) => ({ replayed: false, result })))
})

test('a duplicate gets the answer of its own scope, also where the key has been used in another', async () => {
  const { db } = connect()
  const { key } = operation()
  const scopes = ['tenant 1', 'tenant 2', 'tenant 3']
  for (const scope of scopes) await db.$idempotent({ scope, key }, async () => scope)

  const again = await Promise.all(scopes.map((scope) => db.$idempotent({ scope, key }, never)))

  expect(again).toEqual(scopes.map((scope) => ({ result: scope, replayed: true })))
})

test('while an operation runs, one whose scope and key make the same text together is not taken for it', async () => {
  const { db } = connect()
  const [a, b] = [randomUUID(), randomUUID()]
  const first = await standing(db, { scope: `${a} ${b}`, key: 'c' })

  const other = await db.$idempotent({ scope: a, key: `${b} c`, whileRunning: 'refuse' }, async () => 'ran')

  expect(other).toEqual({ replayed: false, result: 'ran' })
  first.finish()
  await first.done
})

test('duplicates in one process run the body once, and wait for it without a connection', async () => {
  const { db, pool } = connect({ poolSize: 2 })
  const call = operation()
  const first = await standing(db, call)

  const duplicates = Promise.all(Array.from({ length: 50 }, () => db.$idempotent({ ...call, ...patient }, never)))
  await db.note.count() // with the one connection that is left

  expect(pool.waitingCount).toBe(0)
  first.finish()
  const { result } = await first.done
  expect(await duplicates).toEqual(Array(50).fill({ replayed: true, result }))
  expect(await notesOf(call.key)).toHaveLength(1)
})

/** Forty duplicates that wait in the process while the first one stands in its body. */
async function waitingDuplicates(db: Client, call: { key: string; scope: string; request?: unknown }) {
  const first = await standing(db, call)
  const duplicates = Array.from({ length: 40 }, () => db.$idempotent({ ...call, ...patient }, never))
  return { first, duplicates: Promise.all(duplicates) }
}

test('duplicates that waited in one process are given the committed answer without a transaction, each one of its own', async () => {
  const { db, statements } = connect()
  const { first, duplicates } = await waitingDuplicates(db, operation())
  first.finish()
  const { result } = await first.done
  const outcomes = await duplicates

  expect(outcomes).toEqual(Array(40).fill({ replayed: true, result }))
  expect(new Set(outcomes.map((outcome) => outcome.result)).size).toBe(40)
  expect(statements.filter((sql) => sql === 'BEGIN')).toHaveLength(1)
})

test('duplicates that waited for an answer with a Decimal are given it after one of them has read it', async () => {
  const { db, statements } = connect()
  const call = { ...operation(), ...patient }
  const body = (tx: Pick<Client, '$queryRaw'>) => tx.$queryRaw<{ price: object }[]>`SELECT 1.50 AS price`
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => db.$idempotent(call, body)))

  expect(outcomes.map(({ result }) => String(result[0]?.price))).toEqual(Array(40).fill('1.5'))
  expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1)
  expect(statements.filter((sql) => sql === 'BEGIN')).toHaveLength(2)
})

test('a duplicate that waited with another request is refused, among others that are given the answer', async () => {
  const { db } = connect()
  const call = { ...operation(), request: { amount: 1 } }
  const { first, duplicates } = await waitingDuplicates(db, call)
  const other = rejectionOf(db.$idempotent({ ...call, ...patient, request: { amount: 2 } }, never))
  first.finish()

  expect(await other).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  expect(await duplicates).toHaveLength(40)
})

test('a duplicate that waited on the client of another tenant is given no answer that the database hides from it', async () => {
  await database.query(`ALTER TABLE "IdempotencyKey" ADD COLUMN tenant text DEFAULT current_setting('app.tenant', true);
ALTER TABLE "IdempotencyKey" ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON "IdempotencyKey" USING (tenant = current_setting('app.tenant'))`)
  onTestFinished(async () => {
    await database.query(`DROP POLICY tenant ON "IdempotencyKey"; ALTER TABLE "IdempotencyKey" DISABLE ROW LEVEL SECURITY;
ALTER TABLE "IdempotencyKey" DROP COLUMN tenant`)
  })
  const { db } = connectTo(await openRole(database))
  const clientOf = (tenant: string) => {
    const own = async (body: (tx: Body) => Promise<unknown>, options: object) =>
      db.$transaction(async (tx) => {
        await tx.$executeRaw`SELECT set_config('app.tenant', ${tenant}, true)`
        return body(tx)
      }, options)
    return db.$extends({ client: { $transaction: own } }) as unknown as Client
  }
  const call = operation()
  const first = await standing(clientOf('first'), call)
  const other = rejectionOf(clientOf('second').$idempotent({ ...call, ...patient }, never))
  first.finish()

  expect(await first.done).toMatchObject({ replayed: false })
  expect(await other).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS' })
})

test('a call that comes after the answer asks the database, and runs where the key was deleted since', async () => {
  const { db } = connect()
  const call = operation()
  const { first, duplicates } = await waitingDuplicates(db, call)
  first.finish()
  await duplicates
  await database.query('DELETE FROM "IdempotencyKey" WHERE key = $1', [call.key])

  expect(await db.$idempotent(call, async () => 'anew')).toEqual({ replayed: false, result: 'anew' })
})

test('when the first fails, one of the duplicates runs the body, and the others get its answer', async () => {
  const { db } = connect()
  const call = operation()
  const first = await standing(db, call)
  const duplicates = Promise.all(
    Array.from({ length: 5 }, () => db.$idempotent({ ...call, ...patient }, note(call.key))),
  )

  first.fail(new Error('declined'))

  await expect(first.done).rejects.toThrow('declined')
  const outcomes = await duplicates
  expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1)
  expect(new Set(outcomes.map(({ result }) => result.id)).size).toBe(1)
  expect(await notesOf(call.key)).toHaveLength(1)
})

test('a duplicate that gives up lets those behind it pass', async () => {
  const { db } = connect()
  const call = operation()
  const first = await standing(db, call)
  const controller = new AbortController()
  const impatient = db.$idempotent({ ...call, signal: controller.signal }, never)
  const behind = db.$idempotent({ ...call, ...patient }, never)

  controller.abort(new Error('closed the page'))
  await expect(impatient).rejects.toThrow('closed the page')
  first.finish()

  expect(await behind).toMatchObject({ replayed: true })
})

const LEVELS = ['ReadCommitted', 'RepeatableRead', 'Serializable'] as const

test.each(LEVELS)('at %s, a duplicate elsewhere waits for the first to commit, and gets its answer', async (level) => {
  const [here, elsewhere] = [connect().db, connect().db]
  const call = operation()
  const first = await standing(elsewhere, call)

  const second = here.$idempotent({ ...call, ...patient, isolationLevel: level }, never)
  await untilBlocked(database.url)
  first.finish()

  expect(await second).toEqual({ replayed: true, result: (await first.done).result })
})

test.each(LEVELS)('at %s, a duplicate elsewhere runs the body when the first is rolled back', async (level) => {
  const [here, elsewhere] = [connect().db, connect().db]
  const call = operation()
  const first = await standing(elsewhere, call)

  const second = here.$idempotent({ ...call, ...patient, isolationLevel: level }, note(call.key))
  await untilBlocked(database.url)
  first.fail(new Error('declined'))

  const { replayed, result } = await second
  expect(replayed).toBe(false)
  expect(await notesOf(call.key)).toEqual([{ id: result.id }])
})

test('who does not want to wait is refused at once in the same process, without a statement', async () => {
  const { db, statements } = connect()
  const call = operation()
  const first = await standing(db, call)
  statements.length = 0

  const error = await rejectionOf(db.$idempotent({ ...call, ...patient, whileRunning: 'refuse' }, never))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', ...call })
  expect(statements).toEqual([])
  first.finish()
  const { result } = await first.done
  expect(await db.$idempotent({ ...call, whileRunning: 'refuse' }, never)).toEqual({ replayed: true, result })
})

test('two who do not want to wait for an operation that is finished both get its answer', async () => {
  const { db } = connect()
  const call = operation()
  const { result } = await db.$idempotent(call, note(call.key))
  const again = () => db.$idempotent({ ...call, whileRunning: 'refuse' }, never)

  expect(await Promise.all([again(), again()])).toEqual([
    { replayed: true, result },
    { replayed: true, result },
  ])
})

test('who does not want to wait is not refused by a transaction of its own that lost its connection', async () => {
  const { db } = connect()
  const call = operation()
  const observer = await openConnection(database.url)
  const attempts: number[] = []

  const outcome = await db.$idempotent({ ...call, ...patient, whileRunning: 'refuse' }, async (tx, { attempt }) => {
    attempts.push(attempt)
    const written = await tx.note.create({ data: { text: call.key } })
    const [{ pid }] = await tx.$queryRaw<[{ pid: number }]>`SELECT pg_backend_pid() AS pid`
    if (attempt === 1) {
      await observer.query('SELECT pg_terminate_backend($1)', [pid])
      await tx.note.count()
    }
    return written.text
  })

  expect(outcome).toEqual({ replayed: false, result: call.key })
  expect(attempts).toEqual([1, 2])
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test('a call that does not wait for others waits for a transaction of its own that the server has not ended yet', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const holder = await openConnection(database.url)
  await holder.query('SELECT pg_advisory_lock(72002)')
  const call = operation()

  const abandoned = proxy.next(/pg_advisory_xact_lock\(72002\)/, 'abandon')
  const outcome = db.$idempotent({ ...call, ...patient, whileRunning: 'refuse' }, async (tx, { attempt }) => {
    if (attempt === 1) await tx.$queryRaw`SELECT pg_advisory_xact_lock(72002)::text`
    return attempt
  })
  outcome.catch(() => {})
  await abandoned.happened
  await untilBlocked(database.url, 2)
  await holder.query('SELECT pg_sleep(0.2)') // longer than the wait for a key may be
  await holder.query('SELECT pg_advisory_unlock(72002)')

  expect(await outcome).toEqual({ replayed: false, result: 2 })
})

test('who does not want to wait is refused while the operation runs elsewhere, and answered afterwards', async () => {
  const [here, elsewhere] = [connect().db, connect().db]
  const call = { ...operation(), whileRunning: 'refuse' as const }
  const first = await standing(elsewhere, call)

  const error = await rejectionOf(here.$idempotent({ ...call, ...patient }, never))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', key: call.key })
  first.finish()
  const { result } = await first.done
  expect(await here.$idempotent(call, never)).toEqual({ replayed: true, result })
})

test('who does not want to wait for the operation does wait for a lock inside its body', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const holder = await openConnection(database.url)
  await holder.query('BEGIN')
  await holder.query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])

  const call = db.$idempotent({ ...operation(), ...patient, whileRunning: 'refuse' }, (tx) =>
    tx.product.update({ where: { id }, data: { stock: { increment: 1 } } }),
  )
  await untilBlocked(database.url)
  await holder.query('SELECT pg_sleep(0.2)') // longer than the wait for a key may be
  await holder.query('COMMIT')

  expect(await call).toMatchObject({ replayed: false, result: { stock: 8 } })
})

test('waiting in the process longer than the deadline says that the operation is running', async () => {
  const { db } = connect()
  const call = operation()
  const first = await standing(db, call)

  const error = await rejectionOf(db.$idempotent({ ...call, retry: { deadline: 20 } }, never))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', ...call })
  first.finish()
  expect(await db.$idempotent(call, never)).toEqual({ replayed: true, result: (await first.done).result })
})

test('waiting in the database longer than the deadline says that the operation is running', async () => {
  const [here, elsewhere] = [connect().db, connect().db]
  await here.note.count()
  const call = operation()
  const first = await standing(elsewhere, call)

  const error = await rejectionOf(here.$idempotent({ ...call, retry: { deadline: 2_000 } }, never))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', ...call })
  first.finish()
  expect(await here.$idempotent(call, never)).toEqual({ replayed: true, result: (await first.done).result })
})

test('a key that is pruned between its refusal and the look at its answer is claimed anew', async () => {
  const call = operation()
  await connect().db.$idempotent(call, note(call.key))
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)

  const looking = proxy.next(/SELECT "request"/, 'hold')
  const second = db.$idempotent({ ...call, ...patient }, note(call.key))
  await looking.happened
  await database.query('DELETE FROM "IdempotencyKey" WHERE key = $1', [call.key])
  looking.release()

  expect(await second).toMatchObject({ replayed: false })
  expect(await traces(call.key)).toEqual({ notes: 2, keys: 1 })
})

test('a conflict in the body runs the whole operation again', async () => {
  const { db } = connect()
  const call = operation()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const attempts: number[] = []

  const outcome = await db.$idempotent({ ...call, ...patient }, async (tx, { attempt }) => {
    attempts.push(attempt)
    await note(call.key)(tx)
    const { version } = await tx.product.findUniqueOrThrow({ where: { id } })
    if (attempt === 1) await db.product.update({ where: { id }, data: { stock: 5 } })
    return tx.product.updateVersioned({ where: { id, version }, data: { stock: { increment: 1 } } })
  })

  expect(outcome).toMatchObject({ replayed: false, result: { stock: 6, version: 2 } })
  expect(attempts).toEqual([1, 2])
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test('a serialization failure in the body runs the whole operation again', async () => {
  const { db } = connect()
  const call = { ...operation(), ...patient, isolationLevel: 'Serializable' as const }
  const { id } = await db.product.create({ data: { name: 'Chai' } })

  const { result } = await db.$idempotent(call, async (tx, { attempt }) => {
    await tx.product.findUniqueOrThrow({ where: { id } })
    if (attempt === 1) await db.product.update({ where: { id }, data: { stock: 5 } })
    const { stock } = await tx.product.update({ where: { id }, data: { stock: { increment: 1 } } })
    return { attempt, stock }
  })

  expect(result).toEqual({ attempt: 2, stock: 6 })
  expect(await keysOf(call.key)).toHaveLength(1)
})

test('when the answer to COMMIT is lost, the effects stay single, and the caller gets its own answer as the first', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()
  const own = { written: new Date() }

  proxy.next(/^COMMIT/, 'drop')
  const outcome = await db.$idempotent({ ...call, ...patient }, async (tx) => {
    await note(call.key)(tx)
    return own
  })

  expect(outcome.replayed).toBe(false)
  expect(outcome.result).toBe(own)
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test('when COMMIT does not reach the server, the operation runs again', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()

  proxy.next(/^COMMIT/, 'cut')
  const outcome = await db.$idempotent({ ...call, ...patient }, async (tx, { attempt }) => {
    await note(call.key)(tx)
    return attempt
  })

  expect(outcome).toEqual({ replayed: false, result: 2 })
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test.each(['cut', 'drop'] as const)('a connection lost in the body (%s) runs the operation again', async (fate) => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()

  proxy.next(/INSERT INTO "public"."Note"/, fate)
  const { replayed } = await db.$idempotent({ ...call, ...patient }, note(call.key))

  expect(replayed).toBe(false)
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test('when a COMMIT without an answer is still under way, who does not wait for others waits for it', async () => {
  await database.query(AT_COMMIT_TRIGGER)
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const holder = await openConnection(database.url)
  await holder.query('SELECT pg_advisory_lock(72001)')
  const call = operation()

  const commit = proxy.next(/^COMMIT/, 'abandon')
  const outcome = db.$idempotent({ ...call, ...patient, whileRunning: 'refuse' }, async (tx, { attempt }) => {
    await tx.note.create({ data: atCommit('SELECT pg_advisory_xact_lock(72001)') })
    return attempt
  })
  await commit.happened
  await untilBlocked(database.url, 2)
  await holder.query('SELECT pg_sleep(0.2)') // longer than the wait for a key may be
  await holder.query('SELECT pg_advisory_unlock(72001)')

  expect(await outcome).toEqual({ replayed: false, result: 1 })
})

test('when the answer to COMMIT is lost and the server cannot be reached since, the outcome is unknown', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()

  const lost = proxy.next(/^COMMIT/, 'drop')
  const pass = passingTime()
  const outcome = rejectionOf(db.$idempotent({ ...call, ...patient }, note(call.key)))
  await lost.happened
  proxy.refuse()
  pass(100_000)

  expect(await outcome).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: expect.any(Error) })
  proxy.accept()
  expect(await db.$idempotent(call, never)).toMatchObject({ replayed: true })
})

test('when the answer to COMMIT is lost and the caller gives up, the outcome is unknown, not aborted', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const controller = new AbortController()
  const call = operation()

  proxy.next(/^COMMIT/, 'drop')
  const inBody = gate()
  const outcome = rejectionOf(
    db.$idempotent({ ...call, ...patient, signal: controller.signal }, async (tx) => {
      inBody.open()
      return note(call.key)(tx)
    }),
  )
  await inBody.opened
  await proxy.next(/^BEGIN/, 'hold').happened // of the second run
  controller.abort(new Error('closed the page'))
  proxy.refuse()

  expect(await outcome).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
})

test('with a single attempt a lost answer to COMMIT cannot be looked up, and the outcome is unknown', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()

  proxy.next(/^COMMIT/, 'drop')
  const error = await rejectionOf(db.$idempotent({ ...call, retry: { attempts: 1 } }, note(call.key)))

  expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  expect(await db.$idempotent(call, never)).toMatchObject({ replayed: true })
})

test('an error of a second run is that error, since the lost COMMIT is known by then to have failed', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = operation()
  const declined = new Error('declined')

  proxy.next(/^COMMIT/, 'cut')
  const outcome = db.$idempotent({ ...call, ...patient }, async (tx, { attempt }) => {
    if (attempt === 2) throw declined
    await note(call.key)(tx)
  })

  expect(await rejectionOf(outcome)).toBe(declined)
  expect(await traces(call.key)).toEqual({ notes: 0, keys: 0 })
})

test('inside a transaction the key and the effects are committed with it, or not at all', async () => {
  const { db } = connect()
  const [kept, dropped] = [operation(), operation()]

  await db.$transaction((tx) => tx.$idempotent(kept, note(kept.key)))
  const rolledBack = db.$transaction(async (tx) => {
    await tx.$idempotent(dropped, note(dropped.key))
    throw new Error('later')
  })

  await expect(rolledBack).rejects.toThrow('later')
  expect(await traces(kept.key)).toEqual({ notes: 1, keys: 1 })
  expect(await traces(dropped.key)).toEqual({ notes: 0, keys: 0 })
})

test('inside a transaction a body that fails leaves neither key nor effect, and the transaction goes on', async () => {
  const { db } = connect()
  const call = operation()
  const around = randomUUID()

  await db.$transaction(async (tx) => {
    await note(around)(tx)
    const failing = tx.$idempotent(call, async (inner) => {
      await note(call.key)(inner)
      await inner.$queryRaw`SELECT 1 / 0`
    })
    await rejectionOf(failing)
    await note(around)(tx)
  })

  expect(await traces(call.key)).toEqual({ notes: 0, keys: 0 })
  expect(await notesOf(around)).toHaveLength(2)
})

test('inside a transaction a second call gets the answer of the first, which is not committed yet', async () => {
  const { db } = connect()
  const call = operation()

  const [first, second] = await db.$transaction(async (tx) => [
    await tx.$idempotent(call, note(call.key)),
    await tx.$idempotent(call, never),
  ])

  expect(second).toEqual({ replayed: true, result: first.result })
})

test('an operation that asks for itself in its own body is told that it is running', async () => {
  const { db } = connect()
  const call = operation()

  const error = await rejectionOf(db.$idempotent(call, (tx) => tx.$idempotent(call, never)))

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', ...call })
  expect(await keysOf(call.key)).toEqual([])
})

test.each([
  { what: 'who does not want to wait', options: { whileRunning: 'refuse' as const } },
  { what: 'who has waited until the deadline', options: { retry: { deadline: 1_000 } } },
])('inside a transaction $what is refused, and the transaction goes on with its own limits', async ({ options }) => {
  const [here, elsewhere] = [connect().db, connect().db]
  const call = operation()
  const first = await standing(elsewhere, call)

  const seen = await here.$transaction(
    async (tx) => {
      await tx.$queryRaw`SELECT set_config('lock_timeout', '1000s', true)`
      const error = await rejectionOf(tx.$idempotent({ ...call, ...options }, never))
      const other = await tx.$idempotent({ ...operation(), ...options, ...patient }, async () => 'ran')
      return { error, other, settings: await tx.$queryRaw`SELECT current_setting('lock_timeout') AS lock_timeout` }
    },
    { timeout: 100_000 },
  )

  expect(seen).toEqual({
    error: expect.objectContaining({ code: 'IDEMPOTENCY_IN_PROGRESS' }),
    other: { replayed: false, result: 'ran' },
    settings: [{ lock_timeout: '1000s' }],
  })
  first.finish()
  await first.done
})

test('inside a transaction a conflict in the body goes up, and the whole transaction runs again', async () => {
  const { db } = connect()
  const call = operation()
  const { id } = await db.product.create({ data: { name: 'Chai' } })

  const outcome = await db.$transactionWithRetry(
    (outer, { attempt }) =>
      outer.$idempotent(call, async (tx) => {
        await note(call.key)(tx)
        const { version } = await tx.product.findUniqueOrThrow({ where: { id } })
        if (attempt === 1) await db.product.update({ where: { id }, data: { stock: 5 } })
        return tx.product.updateVersioned({ where: { id, version }, data: { stock: { increment: 1 } } })
      }),
    patient,
  )

  expect(outcome).toMatchObject({ replayed: false, result: { stock: 6 } })
  expect(await traces(call.key)).toEqual({ notes: 1, keys: 1 })
})

test.each(['RepeatableRead', 'Serializable'] as const)(
  'inside a transaction at %s, a first one that was committed meanwhile makes the transaction run again',
  async (isolationLevel) => {
    const { db } = connect()
    const call = operation()
    const attempts: number[] = []

    const outcome = await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        attempts.push(attempt)
        await tx.note.count() // the snapshot
        if (attempt === 1) await db.$idempotent(call, async () => 'first')
        return tx.$idempotent(call, async () => 'second')
      },
      { ...patient, isolationLevel },
    )

    expect(outcome).toEqual({ replayed: true, result: 'first' })
    expect(attempts).toEqual([1, 2])
  },
)

test('a signal that is aborted before keeps the body from running, also inside a transaction', async () => {
  const { db } = connect()
  const call = { ...operation(), signal: AbortSignal.abort(new Error('too late')) }

  await expect(db.$idempotent(call, never)).rejects.toThrow('too late')
  await expect(db.$transaction((tx) => tx.$idempotent(call, never))).rejects.toThrow('too late')
})

test('inside a weaker transaction the isolation level that is asked for is refused', async () => {
  const { db } = connect()
  const call = { ...operation(), isolationLevel: 'Serializable' as const }

  const error = await rejectionOf(db.$transaction((tx) => tx.$idempotent(call, never)))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'isolationLevel' })
})

test('the body gets the client with all its extensions, the number of the run, and the signal', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency()).$extends({ model: { note: { shout: (text: string) => `${text}!` } } })

  const { result } = await db.$idempotent(operation(), async (tx, context) => [
    tx.note.shout('here'),
    context.attempt,
    context.signal.aborted,
  ])

  expect(result).toEqual(['here!', 1, false])
})
