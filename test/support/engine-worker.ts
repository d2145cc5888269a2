/** A process of its own, on either engine, that does the same work as others on the same tables, locks and keys. */
import { type EngineName, openErp, rows } from './engines.js'
import type { StockItem } from './stock-models.js'

export interface EngineWork {
  readonly engine: EngineName
  readonly url: string
  /** Tells the transaction ids of this process from those of others. */
  readonly name: string
  readonly rounds: number
  readonly callers: number
  /** A product whose stock is counted up by a read and a write under a lock. */
  readonly productId: number
  readonly item: StockItem
}

export interface EngineOutcome {
  readonly failures: readonly string[]
  readonly serials: readonly string[]
  readonly numbers: readonly string[]
  readonly tickets: readonly string[]
  /** The answers to operations that all processes ask for. */
  readonly answers: readonly string[]
}

process.once('message', async (work: EngineWork) => {
  const { db, close } = await openErp(work.engine, { url: work.url })
  const outcome = {
    failures: [] as string[],
    serials: [] as string[],
    numbers: [] as string[],
    tickets: [] as string[],
    answers: [] as string[],
  }
  const patient = { timeout: 100_000, bodyTimeout: 100_000 }
  const retry = { deadline: 100_000, attempts: 1_000 }
  const round = async (id: string, shared: string) => {
    await db.$withAdvisoryLock(
      ['product', work.productId],
      async (tx) => {
        const [row] = await rows(tx, 'SELECT stock FROM "Product" WHERE id = $1::int', work.productId)
        const stock = (row?.stock as number) + 1
        await rows(tx, 'UPDATE "Product" SET stock = $2::int WHERE id = $1::int', work.productId, stock)
      },
      patient,
    )
    await db.$stock.move({ transactionId: id, item: work.item, quantity: -1, retry })
    const taken = await db.$serials.allocate({
      transactionId: id,
      where: { productId: work.item.productId },
      count: 1,
      retry,
    })
    outcome.serials.push(...taken.serials.map(({ number }) => number))
    await db.$transactionWithRetry(
      async (tx) => {
        const { text } = await tx.$series.next('invoice', { transactionId: id })
        outcome.numbers.push(text)
      },
      { retry },
    )
    outcome.tickets.push((await db.$series.next('ticket')).text)
    const { result } = await db.$idempotent({ key: shared, scope: 'of all', retry }, async (tx) => {
      await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', shared)
      return `${shared} by ${work.name}`
    })
    outcome.answers.push(result)
  }
  const caller = async (_: unknown, index: number) => {
    for (let i = 0; i < work.rounds; i++) {
      await round(`${work.name} ${index} ${i}`, `shared ${index} ${i}`).catch((error: unknown) =>
        outcome.failures.push(String(error)),
      )
    }
  }
  await Promise.all(Array.from({ length: work.callers }, caller))
  await close()
  process.send?.(outcome satisfies EngineOutcome, () => process.exit(0))
})
