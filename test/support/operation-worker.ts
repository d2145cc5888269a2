/** A process of its own that asks for one operation, or one job, from many callers at once. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { BODY_GATE, STARTING_LINE } from './starting-line.js'

export interface OperationWork {
  readonly url: string
  readonly what: 'operation' | 'job'
  /** The key of the operation, or the name of the job. */
  readonly name: string
  readonly callers?: number
  readonly waitsAtStart?: boolean
  /** How the body ends when its effect is written. */
  readonly ending?: 'returns' | 'stands still' | 'waits at the gate'
  /** Whether the process is killed as soon as the call has returned, before it could tell anybody. */
  readonly dies?: boolean
}

export interface Verdict {
  /** Whether this caller's own body ran and was committed. */
  readonly isFirst: boolean
  readonly result: unknown
}

process.once('message', async (work: OperationWork) => {
  const { url, what, name, callers = 1, ending = 'returns' } = work
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 3 }) }).$extends(
    concurrency({ retry: { deadline: 100_000 } }),
  )

  const call = async (): Promise<Verdict> => {
    if (what === 'operation') {
      const { result, replayed } = await db.$idempotent({ key: name, scope: 'worker' }, body)
      return { isFirst: !replayed, result }
    }
    const outcome = await db.$oncePer({ job: name, period: { every: '1d' } }, body)
    return outcome.ran ? { isFirst: true, result: outcome.result } : { isFirst: false, result: outcome.since }
  }
  const body = async (tx: Pick<typeof db, 'note' | '$queryRaw'>) => {
    const { id } = await tx.note.create({ data: { text: name } })
    if (ending === 'stands still') {
      process.send?.('standing still')
      await new Promise(() => {})
    }
    if (ending === 'waits at the gate') await tx.$queryRaw`SELECT pg_advisory_xact_lock_shared(${BODY_GATE})::text`
    return { note: id, process: process.pid }
  }

  if (work.waitsAtStart) await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  const verdicts = await Promise.all(Array.from({ length: callers }, call))
  if (work.dies) process.kill(process.pid, 'SIGKILL')
  await db.$disconnect()
  process.send?.(verdicts, () => process.exit(0))
})
