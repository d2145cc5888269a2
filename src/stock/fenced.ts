import type { Session, TransactionSession } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { TakenFence } from '../transactions/fence.js'
import { type FencedCall, fenced } from '../transactions/fenced.js'
import { partOf } from '../transactions/method.js'
import type { StockParts } from './call.js'

/** The calls that can have a fence: those that write under a transaction id. */
const FENCED = ['move', 'moveAll', 'count', 'defer', 'reserve', 'release', 'fulfil', 'extend', 'change', 'reverse']

interface FencedStockCall {
  readonly session: Session
  readonly method: string
  readonly taken: TakenFence
  readonly events: CallEvents | undefined
}

/** A call of `$stock` with a fence. */
export async function fencedStock(
  { policy, executor }: StockParts,
  { session, method, taken, events }: FencedStockCall,
  write: (tx: TransactionSession) => Promise<unknown>,
): Promise<unknown> {
  if (!FENCED.includes(method)) throw new InvalidArgumentError('fence', `is not taken by ${method}.`)
  const open: FencedCall['open'] = (body, { policy: retry, deadline: { signal } }) =>
    executor.root.transactionWithRetry(body, partOf(events, { retry, signal }))
  return fenced({ session, taken, policy, open }, write)
}
