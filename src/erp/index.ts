export { stock } from './stock/extension.js'
export type { ItemMapping, MovementMapping, ReservationMapping, StockOptions } from './stock/options.js'
export { stockSchema, stockSql } from './stock/schema.js'
export type {
  ItemKey,
  MoveAllResult,
  MovedLine,
  MoveResult,
  Quantity,
  ReleaseResult,
  ReserveResult,
  Stock,
  StockDiscrepancy,
  StockLine,
} from './stock/types.js'
