/** One of the two processes: it does one call per item, and may be told to stop itself in the middle of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Contender, operationOf, type Session } from '../contender.js'
import { failureMessage } from '../runner/failure-message.js'
import type { CallReport, FromPauseProcess, PauseOperation, ToPauseProcess } from './messages.js'
import { beforeWrites, stopPoint } from './stop.js'

/** In ms: how long one who was stopped while it was thinking thinks on. Any heartbeat can be answered within. */
const THINKS_ON = 2_000
/** In ms, between two attempts of a caller. */
const PAUSE = 20

// The process that started this one is gone, so nobody waits for its work.
process.once('disconnect', () => process.exit(1))
// Ctrl-C reaches every process of the terminal; the runner ends this one when it is ready to.
process.on('SIGINT', () => {})

let session: Session | undefined
let work: (stopAt: Extract<ToPauseProcess, { kind: 'work' }>['stopAt'], again: number) => Promise<CallReport[]>

process.on('message', async (message: ToPauseProcess) => {
  process.send?.(await answer(message).catch(failure))
})

function failure(error: unknown): FromPauseProcess {
  return { kind: 'failed', message: failureMessage(error) }
}

async function answer(message: ToPauseProcess): Promise<FromPauseProcess> {
  switch (message.kind) {
    case 'open': {
      const { contender, operation, itemIds, env } = message
      const module = await import(new URL(`../contenders/${contender}.ts`, import.meta.url).href)
      const opened = await (module.default as Contender).open(env)
      session = opened
      work = (stopAt, again) => workOn(opened, operation, itemIds, stopAt, again)
      return { kind: 'opened' }
    }
    case 'work':
      return { kind: 'worked', calls: await work(message.stopAt, message.again) }
    case 'close':
      await session?.close()
      return { kind: 'closed' }
  }
}

async function workOn(
  opened: Session,
  operation: PauseOperation,
  itemIds: readonly number[],
  stopAt: Extract<ToPauseProcess, { kind: 'work' }>['stopAt'],
  again: number,
): Promise<CallReport[]> {
  const reach = stopPoint(itemIds.length)
  const think = async () => {
    if (stopAt !== 'thinking') return
    await reach()
    await sleep(THINKS_ON)
  }
  const endHolding = stopAt === 'writing' ? beforeWrites(reach) : () => {}
  try {
    return await Promise.all(itemIds.map((itemId) => repeated(() => call(opened, operation, itemId, think), again)))
  } finally {
    endHolding()
  }
}

async function repeated(attempt: () => Promise<unknown>, again: number): Promise<CallReport> {
  const begin = performance.now()
  const failures: string[] = []
  for (;;) {
    const isDone = await attempt().then(
      () => true,
      (error: unknown) => {
        failures.push(failureMessage(error))
        return false
      },
    )
    const milliseconds = performance.now() - begin
    if (isDone || milliseconds >= again) return { isDone, milliseconds, failures }
    await sleep(PAUSE)
  }
}

let moves = 0

/** Adds 1 to an item's stock, in each of the ways. */
function call(
  opened: Session,
  operation: PauseOperation,
  itemId: number,
  think: () => Promise<void>,
): Promise<unknown> {
  switch (operation) {
    case 'critical':
      return operationOf(opened, 'critical')(`item-${itemId}`, async (rows) => {
        const stock = await rows.read(itemId)
        await think()
        await rows.write(itemId, stock + 1)
      })
    case 'readChangeWrite':
      return operationOf(opened, 'readChangeWrite')(itemId)
    case 'move':
      return operationOf(opened, 'move')(`${process.pid}/${moves++}`, itemId, 1)
  }
}
