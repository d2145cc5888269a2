import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openConnection } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import type { OperationWork, Verdict } from '../support/operation-worker.js'
import { startProcess } from '../support/process.js'
import { rejectionOf } from '../support/rejection.js'
import { BODY_GATE, STARTING_LINE } from '../support/starting-line.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

/** How long a test may take says nothing: nobody shall give up because the machine is slow. */
const patient = { retry: { deadline: 100_000 } }

const start = (work: Omit<OperationWork, 'url'>) =>
  startProcess('./operation-worker.ts', { url: database.url, ...work } satisfies OperationWork)

const notesOf = (text: string) => database.query('SELECT id FROM "Note" WHERE text = $1', [text])

/** Holds an advisory lock until it is let go. */
async function hold(lock: number) {
  const connection = await openConnection(database.url)
  await connection.query('SELECT pg_advisory_lock($1)', [lock])
  return () => connection.query('SELECT pg_advisory_unlock($1)', [lock])
}

/** Waits until the server has noticed that nobody is there any more whose transaction it keeps. */
async function untilNoTransaction() {
  const transactions = `SELECT FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
  while ((await database.query(transactions)).length > 0);
}

/** Starts four processes, and lets them go when all of them are ready. */
async function race(work: Omit<OperationWork, 'url'>): Promise<Verdict[]> {
  const release = await hold(STARTING_LINE)
  const processes = Array.from({ length: 4 }, () => start({ ...work, waitsAtStart: true }))
  await untilBlocked(database.url, 4)
  await release()
  return (await Promise.all(processes.map((child) => child.answer<Verdict[]>()))).flat()
}

test('a hundred callers in four processes run the operation once, and all get the one answer', async () => {
  const name = randomUUID()

  const verdicts = await race({ what: 'operation', name, callers: 25 })

  const [first] = verdicts.filter(({ isFirst }) => isFirst)
  expect(await notesOf(name)).toHaveLength(1)
  expect(verdicts.filter(({ isFirst }) => isFirst)).toHaveLength(1)
  expect(verdicts.map(({ result }) => result)).toEqual(Array(100).fill(first.result))
})

test('a duplicate in another process waits in the database, and gets the answer of the first', async () => {
  const name = randomUUID()
  const { db } = connect()
  const release = await hold(BODY_GATE)
  const first = start({ what: 'operation', name, ending: 'waits at the gate' })
  await untilBlocked(database.url, 1)

  const second = db.$idempotent({ key: name, scope: 'worker', ...patient }, () =>
    Promise.reject(new Error('ran twice')),
  )
  await untilBlocked(database.url, 2)
  await release()

  const [{ result }] = await first.answer<Verdict[]>()
  expect(await second).toEqual({ replayed: true, result })
})

test('when the process of the first is killed, the duplicate that waits runs the operation', async () => {
  const name = randomUUID()
  const { db } = connect()
  const first = start({ what: 'operation', name, ending: 'stands still' })
  await first.answer()

  const second = db.$idempotent({ key: name, scope: 'worker', ...patient }, (tx) =>
    tx.note.create({ data: { text: name } }),
  )
  await untilBlocked(database.url)
  first.kill()

  const { result, replayed } = await second
  expect(replayed).toBe(false)
  expect(await notesOf(name)).toEqual([{ id: result.id }])
})

test('a duplicate that does not want to wait is refused while another process runs the operation', async () => {
  const name = randomUUID()
  const { db } = connect()
  await start({ what: 'operation', name, ending: 'stands still' }).answer()

  const error = await rejectionOf(
    db.$idempotent({ key: name, scope: 'worker', whileRunning: 'refuse' }, async () => 'ran twice'),
  )

  expect(error).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', scope: 'worker', key: name })
})

test('when the process is killed right after the commit, the answer is still there for the next call', async () => {
  const name = randomUUID()
  const { db } = connect()
  await rejectionOf(start({ what: 'operation', name, dies: true }).answer())

  const { result, replayed } = await db.$idempotent({ key: name, scope: 'worker' }, async () => 'ran twice')

  const [{ id }] = await notesOf(name)
  expect({ result, replayed }).toEqual({ replayed: true, result: { note: id, process: expect.any(Number) } })
})

test('a job asked for by four processes at once runs once', async () => {
  const name = randomUUID()

  const verdicts = await race({ what: 'job', name, callers: 5 })

  expect(verdicts.filter(({ isFirst }) => isFirst)).toHaveLength(1)
  expect(await notesOf(name)).toHaveLength(1)
})

test('a job that another process runs is reported as running, without a wait for it', async () => {
  const name = randomUUID()
  const { db } = connect()
  await start({ what: 'job', name, ending: 'stands still' }).answer()

  const outcome = await db.$oncePer({ job: name, period: { every: '1d' } }, async () => 'ran twice')

  expect(outcome).toEqual({ ran: false, since: undefined })
})

test('a job whose process was killed is run by the next one that asks', async () => {
  const name = randomUUID()
  const { db } = connect()
  const first = start({ what: 'job', name, ending: 'stands still' })
  await first.answer()
  first.kill()
  await untilNoTransaction()

  const outcome = await db.$oncePer({ job: name, period: { every: '1d' } }, (tx) =>
    tx.note.create({ data: { text: name } }),
  )

  expect(outcome).toMatchObject({ ran: true })
  expect(await notesOf(name)).toHaveLength(1)
})
