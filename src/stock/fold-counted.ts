import type { Session } from '../engine/session.js'
import { columnsOf, keysEqual } from '../mapping/columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { join, raw, sql } from '../sql/statement.js'
import { type Item, itemOfRow } from './item.js'
import { itemsOf, readMovements } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import { type Applying, applyDeferred, START } from './project.js'
import { nameOf, type Request } from './request.js'
import { keyColumns, rowsIn } from './statements.js'

/** How many movements one statement folds. */
const BATCH = 1_000

/**
 * Folds what is deferred of the items that requests count, so that what was counted is compared with all that is recorded.
 * Resolves to how much stays deferred of them; `undefined` if nothing was deferred.
 *
 * The items are locked. So a fold that has begun elsewhere waits for them, or has been committed: a movement that is
 * found deferred here stays so until the lock is given back. The movements that it waits with are passed over, for to wait for them would be a
 * deadlock. They are folded after the count, whose difference takes them into account.
 */
export async function foldCounted(
  tx: Session,
  map: StockMap,
  all: readonly Request[],
): Promise<ReadonlyMap<string, bigint> | undefined> {
  const applying = applyingOf(map)
  if (!applying) return undefined
  const requests = all.filter(({ folds }) => folds)
  if ((await readDeferred(tx, applying, requests)).size === 0) return undefined
  const recorded = await readMovements(tx, map, requests)
  const counting = requests.filter((request) => !recorded.has(nameOf(request)))
  for (const [scope, only] of byScope(counting)) {
    for (let found = BATCH; found === BATCH; )
      found = (await applyDeferred(tx, applying, BATCH, { only, after: START, scope })).found
  }
  return readDeferred(tx, applying, requests)
}

function applyingOf(map: StockMap): Applying | undefined {
  const { applied } = map.movement
  return applied && { ...map, movement: { ...map.movement, applied } }
}

function byScope(requests: readonly Request[]): readonly (readonly [Scope, readonly Item[]])[] {
  const scopes = new Map(requests.map(({ scope }) => [scope.join('\0'), scope]))
  return Array.from(scopes, ([name, scope]) => [
    scope,
    itemsOf(requests.filter((request) => request.scope.join('\0') === name)),
  ])
}

/** How much is deferred of the items, by their ids. */
async function readDeferred(tx: Session, map: Applying, requests: readonly Request[]) {
  const { item, movement, quantities } = map
  const key = join(movement.item.map((field) => raw(`m.${columnOf(field)}::text`)))
  const items = rowsIn('item', keyColumns(map, itemsOf(requests)))
  const rows = await tx.rows<{
    key: string[]
    quantity: string
  }>(sql`SELECT ARRAY[${key}] AS key, sum(m.${columnOf(movement.quantity)})::text AS quantity
FROM ${items} JOIN ${movement.table} AS m ON ${keysEqual(movement.item, 'm', 'item')}
WHERE NOT m.${columnOf(movement.applied)}
GROUP BY ${columnsOf(movement.item, 'm')}`)
  return new Map(rows.map(({ key, quantity }) => [itemOfRow(item, key).id, quantities.parse(quantity)]))
}
