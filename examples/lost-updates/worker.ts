import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { readLines } from '../northwind/orders.js'
import { METHODS, type Method, type Sale } from './sell.js'

/** Sent to a worker: first its task, then the word to begin, once all workers are ready. */
export type ToWorker =
  | {
      readonly kind: 'task'
      readonly method: Method
      readonly url: string
      readonly index: number
      readonly of: number
    }
  | { readonly kind: 'begin' }

/** Sent by a worker: one message per line that is dealt with, and all of its sales at the end. */
export type FromWorker =
  | { readonly kind: 'ready' | 'progress' }
  | { readonly kind: 'done'; readonly sales: readonly Sale[] }

/** How many order lines a worker has in hand at a time. */
const IN_HAND = 8

type Task = Extract<ToWorker, { kind: 'task' }>

const report = (message: FromWorker) => process.send?.(message)
// The process that started this one is gone, so nobody waits for its work.
process.once('disconnect', () => process.exit(1))

const lines = await readLines()
for (;;) await work(await message('task'))

async function work({ method, url, index, of }: Task): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: IN_HAND })
  const sell = METHODS[method](new PrismaPg(pool))
  const sales: Sale[] = []
  // With all connections open, what is measured is the work.
  await Promise.all(Array.from({ length: IN_HAND }, () => pool.query('SELECT 1')))

  report({ kind: 'ready' })
  await message('begin')

  // Worker 1 of 4 takes lines 1, 5, 9, …: all workers go through the orders side by side.
  let next = index
  async function sellLines() {
    for (let line = lines[next]; line !== undefined; line = lines[next]) {
      next += of
      sales.push(await sell(line))
      report({ kind: 'progress' })
    }
  }
  await Promise.all(Array.from({ length: IN_HAND }, sellLines))
  await pool.end()
  report({ kind: 'done', sales })
}

/** The next message of that kind. */
function message<K extends ToWorker['kind']>(kind: K): Promise<Extract<ToWorker, { kind: K }>> {
  return new Promise((resolve) => {
    const onMessage = (message: ToWorker) => {
      if (message.kind !== kind) return
      process.off('message', onMessage)
      resolve(message as Extract<ToWorker, { kind: K }>)
    }
    process.on('message', onMessage)
  })
}
