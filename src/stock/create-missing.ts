import { scalarsOf } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { keyNames, stampColumns, stamps } from '../mapping/columns.js'
import { isFilledIn } from '../mapping/mapping.js'
import { columnOf } from '../sql/sql.js'
import { join, raw, sql } from '../sql/statement.js'
import { ownStatements } from '../transactions/own-statements.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import { granted, type StockParts } from './call.js'
import { isRefused } from './demand.js'
import { executeInTransaction } from './execute-in-transaction.js'
import type { Item } from './item.js'
import { columnsFor, type LineData } from './line-data.js'
import type { LinesMap, StockMap } from './mapping.js'
import type { Decision, Request } from './request.js'
import { keyColumns } from './statements.js'

/** The new rows of items, by the map of their stock: the columns that a call may fill in are found as those of lines. */
const NEW_ROWS = new WeakMap<StockMap, LinesMap>()

function newRows(map: StockMap): LinesMap {
  return madeOnce(NEW_ROWS, map, () => {
    const { model, table, key, onHand, reserved, opening, version, updatedAt } = map.item
    const own = [...key, onHand, reserved, opening, map.history?.last, version && isFilledIn(version) && version]
    const others = scalarsOf(model).filter((field) => !own.includes(field))
    return { ...map.movement, model, table, version, updatedAt, item: key, others, needsData: false }
  })
}

/** The values of the other columns of items that are created: `true`, or an object with some of them. */
export function readNewRow(map: StockMap, given: unknown): LineData {
  return columnsFor(newRows(map), map.catalogue).read(given === true ? undefined : given, 'createMissing')
}

/**
 * Settles a movement, and creates the items that it adds to where they are missing. Nothing is sent for that while all of
 * them are there. Else the rows are inserted in a transaction with the movement, so that a refusal leaves none; of two
 * that insert a row at once, the second one waits for the first, and then finds it.
 */
export async function moveCreating(
  { map, executor }: StockParts,
  session: Session,
  request: Request,
  row: LineData,
): Promise<Decision> {
  const { policy, deadline } = request
  const create = (tx: Session) => createAndMove(tx, map, request, row)
  if (!session.inTransaction) {
    const decision = await executor.execute(request, (decided) => decided)
    if (!isMissing(request, decision)) return decision
    const call = { policy, deadline: deadline.withoutSignal(), waitedFor: 'the stock' }
    return ownStatements(executor.root, call, create)
  }
  return serializeInTransaction(session, deadline, async () => {
    const { decision } = await executeInTransaction(session, map, request)
    return isMissing(request, decision) ? inSavepoint(session, deadline, create) : decision
  })
}

/** Whether an item is missing that the request adds to. */
function isMissing({ lines }: Request, decision: Decision): boolean {
  if (decision.status === 'done' || !isConcurrencyError(decision.error, 'ITEM_NOT_FOUND')) return false
  const { item: missing } = decision.error
  return lines.some(({ item, quantity }) => quantity > 0n && item.given === missing)
}

/** @throws the error of a request that is refused, so that the rows are rolled back, unless the refusal is recorded of them */
async function createAndMove(tx: Session, map: StockMap, request: Request, row: LineData): Promise<Decision> {
  await map.keys.check(tx)
  const added = request.lines.filter(({ quantity }) => quantity > 0n).map(({ item }) => item)
  await insertItems(tx, map, added, row)
  const { decision } = await executeInTransaction(tx, map, request)
  const isRecorded = map.rememberRefusals && decision.status === 'refused' && isRefused(decision.error)
  return isRecorded ? decision : granted(decision)
}

/** In the order of the keys, so that two of them do not deadlock. */
async function insertItems(tx: Session, map: StockMap, items: readonly Item[], row: LineData): Promise<void> {
  const { table, key, onHand, reserved, opening, updatedAt } = map.item
  const zeros = [onHand, reserved, opening, map.history?.last].filter((field) => !!field)
  const own = row.columns.source(
    keyColumns(map, items),
    items.map(() => row),
  )
  const stamped = updatedAt.filter((field) => !own.fields.includes(field))
  const columns = join([...key, ...zeros].map(columnOf))
  await tx.rows(sql`INSERT INTO ${table} (${columns}${stampColumns(stamped)}${stampColumns(own.fields)})
SELECT ${keyNames(key, 'm.')}${raw(', 0'.repeat(zeros.length))}${stamps(stamped)}${own.values}
FROM ${own.from}
ORDER BY ${keyNames(key, 'm.')}
ON CONFLICT (${join(key.map(columnOf))}) DO NOTHING`)
}
