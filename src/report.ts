export type { ContentionOptions, ContentionSnapshot, HotSpot, OperationContention } from './events/contention.js'
export { type Advice, adviceFor } from './report/advice.js'
export { contentionReport, type ReportFormat } from './report/report.js'
