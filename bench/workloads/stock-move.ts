/**
 * Sells one piece after the other of a hot product: stock and ledger, both or neither. Every
 * twentieth call asks for a product of which there are few, so that selling more than there is
 * would be seen.
 */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const HOT = { itemId: 1, opening: 1_000_000_000, quantity: -1 }
const SCARCE = { itemId: 2, opening: 25, quantity: -2 }
const KINDS = [HOT, SCARCE]

export function stockMove(
  shape: Pick<Workload, 'id' | 'title' | 'about' | 'short' | 'curve' | 'processes' | 'callers'>,
): Workload {
  return {
    ...shape,
    operation: 'move',
    poolSize: 10,
    fill: (database) => openStocks(database),
    caller(session, place) {
      const move = operationOf(session, 'move')
      let count = 0
      return () => {
        const { itemId, quantity } = (count + place.index) % 20 === 19 ? SCARCE : HOT
        return { key: String(itemId), outcome: move(`${place.name}/${count++}`, itemId, quantity) }
      }
    },
    audit: auditLedger,
  }
}

/** Takes goods in: nothing can be refused, so that the stock may follow later. */
export function stockReceipt(callers: number, short = false): Workload {
  return {
    id: `stock-receipt-${callers}`,
    title: `Stock receipt with ledger, ${callers} callers`,
    about: 'One hot product, one piece taken in per call. The stock may follow later, but within the time that counts.',
    short,
    curve: { id: 'stock-receipt', axis: 'callers', value: callers },
    operation: 'receive',
    processes: 1,
    callers,
    poolSize: 10,
    fill: (database) => openStocks(database),
    caller(session, place) {
      const receive = operationOf(session, 'receive')
      let count = 0
      return () => ({ key: String(HOT.itemId), outcome: receive(`${place.name}/${count++}`, HOT.itemId, 1) })
    },
    audit: auditLedger,
  }
}

async function openStocks(database: pg.ClientBase): Promise<void> {
  for (const { itemId, opening } of KINDS) {
    await database.query('INSERT INTO item (id, name, stock) VALUES ($1, $2, $3)', [itemId, `Item ${itemId}`, opening])
  }
}

interface LedgerRow {
  readonly id: number
  readonly stock: number
  /** Counts and sums come as text, since they are bigints. */
  readonly movements: string
  readonly applied: string
  readonly pending: number
}

/** Every call noted once, and each stock is its opening and the sum of its movements. */
async function auditLedger(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<LedgerRow>(
    `SELECT i.id, i.stock, count(m.id) AS movements, (count(m.id) FILTER (WHERE NOT m.applied))::int AS pending,
  coalesce(sum(m.quantity) FILTER (WHERE m.applied), 0) AS applied
FROM item AS i LEFT JOIN movement AS m ON m.item_id = i.id
GROUP BY i.id`,
  )
  const audit = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }
  for (const { itemId, opening, quantity } of KINDS) {
    const row = rows.find(({ id }) => id === itemId)
    if (row === undefined) throw new Error(`Item ${itemId} is gone.`)
    const { done, refused, failed } = tally[itemId] ?? { done: 0, refused: 0, failed: 0 }
    const movements = Number(row.movements)
    audit.lost += Math.max(0, done - movements)
    audit.doubled += Math.max(0, movements - done - failed)
    // Also when the stock does not show it, since a later write has covered it.
    audit.negative += row.stock < 0 || opening + Number(row.applied) < 0 ? 1 : 0
    audit.inconsistent += Math.abs(opening + Number(row.applied) - row.stock) + row.pending
    // Stocks only fall here, so whoever was refused was right only if there is too little at the end.
    if (refused > 0 && row.stock + quantity >= 0) audit.inconsistent += refused
  }
  return audit
}
