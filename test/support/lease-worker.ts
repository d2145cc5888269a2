/** A process of its own that takes leases. */
import { type EngineName, rows } from './engines.js'
import { type LeaseDb, openLeases } from './leases.js'

export interface LeaseWork {
  readonly engine: EngineName
  readonly url: string
  readonly name: string
  readonly ttl: number
  /** How far the clock of this process is off, in ms. */
  readonly clockOff?: number
  /**
   * - `hold`: holds the lease, with progress, and writes when it is told to: fenced, or not
   * - `storm`: takes the lease again and again, and writes a few times each time, until it is told to stop
   */
  readonly task: 'hold' | 'storm'
}

/** The messages of the worker. */
export type LeaseNews =
  | { readonly type: 'held'; readonly token: string; readonly lastProgress: unknown }
  | { readonly type: 'told'; readonly code: string }
  | { readonly type: 'written' }
  | { readonly type: 'refused'; readonly code: string }

const tell = (news: LeaseNews) => process.send?.(news)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const codeOf = (error: unknown) => String((error as { code?: unknown }).code ?? error)

/** `performance.now` is left as it is: it is no clock of the day. */
function shiftClock(ms: number): void {
  const RealDate = Date
  globalThis.Date = class extends RealDate {
    constructor(...args: [] | [number]) {
      super(...((args.length === 0 ? [RealDate.now() + ms] : args) as [number]))
    }
    static override now = () => RealDate.now() + ms
  } as DateConstructor
}

async function hold(db: LeaseDb, { name, ttl }: LeaseWork): Promise<void> {
  const work = db.$withLease(name, { ttl, wait: 100_000 }, async (lease) => {
    lease.signal.addEventListener('abort', () => tell({ type: 'told', code: codeOf(lease.signal.reason) }))
    await lease.progress({ token: String(lease.token) })
    tell({ type: 'held', token: String(lease.token), lastProgress: lease.lastProgress })
    for (;;) {
      const wanted = await new Promise((resolve) => process.once('message', resolve))
      if (wanted === 'end') return
      const write = db.$transactionWithRetry(async (tx) => {
        if (wanted === 'fenced') await tx.$assertLease(lease)
        await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', `${name} ${lease.token}`)
      })
      await write.then(
        () => tell({ type: 'written' }),
        (error) => tell({ type: 'refused', code: codeOf(error) }),
      )
    }
  })
  await work.catch((error) => tell({ type: 'refused', code: codeOf(error) }))
}

async function storm(db: LeaseDb, { name, ttl }: LeaseWork): Promise<void> {
  for (;;) {
    await db
      .$withLease(name, { ttl, wait: 100_000 }, async (lease) => {
        for (let i = 0; i < 3; i++) {
          await pause(Math.random() * 30)
          if (lease.signal.aborted) return
          await db.$transaction(async (tx) => {
            await tx.$assertLease(lease, { limit: 500 })
            await pause(Math.random() * 30)
            await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', `${name} ${lease.token} ${lease.holder}`)
          })
        }
      })
      .catch(() => pause(10)) // a lease that was lost, or a connection: the audit looks at what was committed
  }
}

process.once('message', async (work: LeaseWork) => {
  if (work.clockOff) shiftClock(work.clockOff)
  const { db, close } = await openLeases(work.engine, { url: work.url, poolSize: 4 })
  await (work.task === 'hold' ? hold : storm)(db, work)
  await close()
  process.disconnect()
})
