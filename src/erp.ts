export type { Input } from './mapping/input.js'
export type { ClientExtension, FieldOf, ScopeBinding, Scoped, ScopeOf } from './mapping/types.js'
export type {
  NewSerial,
  ReleasedData,
  SerialChange,
  SerialData,
  SerialKey,
  SerialOf,
  SerialScope,
  SerialWhere,
} from './serials/client-types.js'
export { type SerialsExtension, serials } from './serials/extension.js'
export type {
  AllocationMapping,
  HistoryMapping,
  SerialMapping,
  SerialsOptions,
  StateMapping,
} from './serials/options.js'
export { type SerialsSchemaOptions, serialsSchema, serialsSql } from './serials/schema.js'
export type {
  AllocateArgs,
  AnySerials,
  HistoryOptions,
  ImportArgs,
  NamedSerials,
  PruneSerialsArgs,
  PruneSerialsResult,
  ReleaseArgs,
  ScopedSerials,
  SerialRange,
  Serials,
  SerialsHistory,
  WithHistory,
} from './serials/types.js'
export type { DocumentsOf } from './series/client-types.js'
export { series } from './series/extension.js'
export type {
  CounterMapping,
  DocumentMapping,
  FreeMapping,
  NumberMapping,
  NumbersOnly,
  SeriesDefinition,
  SeriesOptions,
  VoidMapping,
} from './series/options.js'
export { type SeriesSchemaOptions, seriesSchema, seriesSql } from './series/schema.js'
export type { Gap, GivenNumber } from './series/store.js'
export type {
  ClosedPeriod,
  ClosePeriodArgs,
  CreateDocumentArgs,
  CreatedDocument,
  GapsOptions,
  InScope,
  NextNumberOptions,
  NumberSeries,
  PeekedNumber,
  PeekOptions,
  ScopedSeries,
  SeriesDocuments,
  SeriesName,
  SeriesOf,
  VoidedNumber,
  VoidNumberArgs,
} from './series/types.js'
export type { ItemKey, Quantity, ReservationEnd, StockOf } from './stock/client-types.js'
export { stock } from './stock/extension.js'
export type { ItemMapping, MovementMapping, ReservationMapping, SlotsMapping, StockOptions } from './stock/options.js'
export { type StockSchemaOptions, stockSchema, stockSql } from './stock/schema.js'
export type {
  ChangeResult,
  ChosenLines,
  CloseResult,
  CreateMissing,
  DateArgument,
  ExtendResult,
  Fulfilment,
  HistoryEntry,
  Lasting,
  LedgerName,
  Maximum,
  Minimum,
  MoveAllResult,
  MovedLine,
  MoveResult,
  Named,
  OneOrMany,
  PartOf,
  PlaceOf,
  ProjectResult,
  PruneResult,
  ReleaseResult,
  ReservationEntry,
  ReservationEntryState,
  ReserveResult,
  SlotsResult,
  SourceLine,
  StatementEntry,
  Stock,
  StockBalance,
  StockDiscrepancy,
  StockLine,
  StockLooks,
  StockPeriods,
  StockSource,
  StockStatement,
  TakenLine,
  Taking,
  TraceEntry,
  WriteOptions,
} from './stock/types.js'
export type { FenceOption, WriteFence } from './transactions/fence.js'
