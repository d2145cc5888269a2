import type { Session } from '../engine/session.js'
import { WriteSuppressedError } from '../errors/index.js'
import { type Balance, Decider } from './decider.js'
import { GuardedMoves } from './guarded-moves.js'
import { type LockedState, loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Decision, Request } from './request.js'
import { leftBy, writeLocked } from './write.js'

/** How often a transaction id is looked up again that somebody else took in the meantime. */
const LOOKS = 3

/**
 * Settles one request inside a transaction. A movement is first sent as one guarded statement; where that has not
 * written it, and for other requests: locks, reads, decides, and writes if there is something to write.
 */
export async function executeInTransaction(
  tx: Session,
  map: StockMap,
  request: Request,
): Promise<{ readonly decision: Decision; readonly left: ReadonlyMap<string, Balance> }> {
  await map.keys.check(tx)
  const items = request.lines.map(({ item }) => item)
  let state: LockedState | undefined
  if (request.kind === 'move') {
    const { decisions, left, locked } = await new GuardedMoves(tx, map, [request]).run()
    if (decisions[0]) return { decision: decisions[0], left }
    // The ids and items that it has given are locked: no further statement is needed for that.
    if (locked.balances.size === items.length) state = locked
  }
  // A reservation that one look ends is not found by the next one, and the item still counts it as reserved.
  const expired = new Map<string, bigint>()
  for (let look = 1; look <= LOOKS; look++) {
    const snapshot = await loadSnapshot(tx, map, [request], { state })
    for (const [id, quantity] of snapshot.expired) expired.set(id, (expired.get(id) ?? 0n) + quantity)
    const decider = new Decider(map, { ...snapshot, expired })
    const decision = decider.decide(request)
    const set = decider.writeSet(items)
    const written = await writeLocked(tx, map, set)
    if (written === 'written' && decision) return { decision, left: leftBy(set) }
    // The database suppresses an UPDATE. An error has undone the statement, so the transaction cannot go on.
    if (written === 'undone') throw new WriteSuppressedError(map.item.model.name, {})
    // The id is taken by a transaction that has been committed by now: it is in the next look's snapshot.
    state = undefined
  }
  // Nobody has it, and still it cannot be taken.
  const { model } = (request.kind === 'reserve' && map.reservation) || map.movement
  throw new WriteSuppressedError(model.name, { transactionId: request.transactionId })
}
