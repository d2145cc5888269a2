import type { Session } from '../engine/session.js'
import { WriteSuppressedError } from '../errors/index.js'
import { Decider, type WriteSet } from './decider.js'
import { loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Decision, Request } from './request.js'
import { writeLocked } from './write-locked.js'

/** How often a transaction id is looked up again that somebody else took in the meantime. */
const LOOKS = 3

/** Settles one request inside a transaction: locks, reads, decides, and writes if there is something to write. */
export async function executeInTransaction(
  tx: Session,
  map: StockMap,
  request: Request,
): Promise<{ readonly decision: Decision; readonly written: WriteSet }> {
  await map.keys.check(tx)
  const items = request.lines.map(({ item }) => item)
  // A reservation that one look ends is not found by the next one, and the item still counts it as reserved.
  const expired = new Map<string, bigint>()
  for (let look = 1; look <= LOOKS; look++) {
    const snapshot = await loadSnapshot(tx, map, [request])
    for (const [id, quantity] of snapshot.expired) expired.set(id, (expired.get(id) ?? 0n) + quantity)
    const decider = new Decider(map, { ...snapshot, expired })
    const decision = decider.decide(request)
    const written = decider.writeSet(items)
    if (await writeLocked(tx, map, written)) return { decision, written }
    // The id is taken by a transaction that has been committed by now: it is in the next look's snapshot.
  }
  // Nobody has it, and still it cannot be taken.
  const { model } = (request.kind === 'reserve' && map.reservation) || map.movement
  throw new WriteSuppressedError(model.name, { transactionId: request.transactionId })
}
