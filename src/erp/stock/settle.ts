import { WriteSuppressedError } from '../../errors.js'
import type { PrismaClientLike } from '../../prisma/client.js'
import { lockAndRead } from './evidence.js'
import { type Effects, Judge } from './judge.js'
import type { StockMap } from './mapping.js'
import type { Request, Verdict } from './request.js'
import { writeClaimed } from './write-claimed.js'

/** How often a transaction id is looked up again that somebody else took in the meantime. */
const LOOKS = 3

/** Settles one request inside a transaction: locks, reads, judges, and writes if there is something to write. */
export async function settleInside(
  tx: PrismaClientLike,
  map: StockMap,
  request: Request,
): Promise<{ readonly verdict: Verdict; readonly effects: Effects }> {
  await map.keys.check(tx)
  const items = request.lines.map(({ item }) => item)
  // What one look ends, the next one no longer finds, and the item still counts it as reserved.
  const expired = new Map<string, bigint>()
  for (let look = 1; look <= LOOKS; look++) {
    const evidence = await lockAndRead(tx, map, items, [request])
    for (const [id, quantity] of evidence.expired) expired.set(id, (expired.get(id) ?? 0n) + quantity)
    const judge = new Judge(map, { ...evidence, expired })
    const verdict = judge.judge(request)
    const effects = judge.effects(items)
    if (await writeClaimed(tx, map, effects)) return { verdict, effects }
    // The id is taken by a transaction that has been committed by now: it is in the next look's snapshot.
  }
  // Nobody has it, and still it cannot be taken.
  const { model } = (request.kind === 'reserve' && map.reservation) || map.movement
  throw new WriteSuppressedError(model.name, { transactionId: request.transactionId })
}
