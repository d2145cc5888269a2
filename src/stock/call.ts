import type { Session, TransactionSession } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { checkKeyLength } from '../sql/key-text.js'
import { keyValue } from '../sql/key-value.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import type { StockExecutor } from './executor.js'
import { type Args, idsOf } from './lines.js'
import type { StockMap } from './mapping.js'
import type { Quantities } from './quantity.js'
import type { Decide, Decision, Done, Kind, Line, Request } from './request.js'

/** The arguments that most calls have. */
export const CALL = ['transactionId', 'retry', 'signal']

/** The parts that the methods of `$stock` have in common. */
export interface StockParts {
  readonly map: StockMap
  readonly policy: ResolvedPolicy
  readonly executor: Executor
}

/** It carries out the requests: with slots, another one than usual. */
export interface Executor extends Pick<StockExecutor, 'root' | 'maxWaiting' | 'execute'> {
  inTransaction(tx: TransactionSession, request: Request): Promise<{ readonly decision: Decision }>
}

/** The lines of a call under its transaction id. */
export interface Asked {
  readonly kind: Kind
  readonly decide: Decide
  readonly lines: readonly Line[]
}

/** The request of a call, whose deadline begins here. */
export function requestOf(
  { map, policy: own }: StockParts,
  { kind, decide, lines }: Asked,
  args: Args,
  events: CallEvents | undefined,
): Request {
  const { movement, quantities } = map
  const { scope, minimum, retry, signal } = args
  const { policy, deadline } = patienceOf(own, { retry, signal })
  const transactionId = keyValue(args.transactionId, movement.transactionId, 'transactionId')
  const resources = idsOf(lines)
  if (scope.length > 0) checkKeyLength([...scope, transactionId], 'transactionId')
  events?.begin(deadline, lines.length === 0 ? transactionId : resources, transactionId)
  const least = minimum === undefined || minimum === null ? minimum : quantities.read(minimum, 'minimum')
  // No spread: it would take more memory, and a hundred thousand may wait.
  const request = { policy, deadline, kind, decide, scope, transactionId, lines, resources, minimum: least }
  const group = args.lineData?.[0]?.group
  return group ? { ...request, group } : request
}

/** On the root the request joins a batch; in a transaction it is settled right there. */
export function settle<R>(
  { executor }: StockParts,
  session: Session,
  request: Request,
  answer: (decision: Decision) => R,
): Promise<R> {
  if (!session.inTransaction) return executor.execute(request, answer)
  return serializeInTransaction(session, request.deadline, async () =>
    answer((await executor.inTransaction(session, request)).decision),
  )
}

/** @throws the error of a request that is refused */
export function granted(decision: Decision): Done {
  if (decision.status === 'refused') throw decision.error
  return decision
}

export function movedOf({ lines, replayed }: Done, quantities: Quantities) {
  const moved = lines.map(({ item, quantity, balance }) => ({
    item: item.given,
    quantity: quantities.value(quantity),
    balance: quantities.value(balance),
  }))
  return { lines: moved, replayed }
}

export function singleOf(done: Done, quantities: Quantities) {
  const { lines, replayed } = movedOf(done, quantities)
  const [line] = lines
  return { quantity: line?.quantity, balance: line?.balance, replayed }
}
