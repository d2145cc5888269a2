/** The comparisons: each call of this library beside the same work by hand. */

export const ITEMS = 1_000
export const SECTION_MS = 2

/** The work of the cells. */
export interface Work {
  /** Writes one field of a row whose version the caller knows, and has the new version. */
  updateObject(caller: number): Promise<unknown>
  /** Reads a row, decides, and writes it. */
  updateFunction(itemId: number): Promise<unknown>
  insert(transactionId: string): Promise<unknown>
  /** An insert whose transaction id may be there. */
  insertOnce(transactionId: string): Promise<unknown>
  /** A payment, and the answer of the request, once per key. */
  operation(key: string): Promise<unknown>
  /** One insert in an interactive transaction. */
  transaction(transactionId: string): Promise<unknown>
  /** One insert under a lock. */
  lock(key: string, transactionId: string): Promise<unknown>
  /** A section in which the holder reads, thinks for `SECTION_MS`, and writes. */
  section(itemId: number): Promise<unknown>
  move(transactionId: string, itemId: number, quantity: number): Promise<unknown>
  /** The same of an item in four slots. */
  moveInSlots(transactionId: string, itemId: number, quantity: number): Promise<unknown>
  /** The same in a transaction of the caller's. */
  moveInTransaction(transactionId: string, itemId: number, quantity: number): Promise<unknown>
  /** An order: one of each of these items. */
  moveAll(transactionId: string, itemIds: readonly number[]): Promise<unknown>
  serials(transactionId: string): Promise<unknown>
  /** The next number and its document. */
  number(transactionId: string): Promise<unknown>
  /** The same, and a record of the number by the transaction id, which has the same one when it comes again. */
  numberById(transactionId: string): Promise<unknown>
  /** The same where callers of a process may share a statement. */
  numberTogether(transactionId: string): Promise<unknown>
}

/** One way of doing the work, without the calls that it cannot do. */
export type Side = Partial<Work> & { close(): Promise<unknown> }

export interface Cell {
  readonly name: string
  readonly work: keyof Work
  readonly callers: number
  /** Each with that many callers. */
  readonly processes: number
  /** The ratio that ours ÷ by hand on Prisma must reach. */
  readonly wanted: number
  readonly call: (side: Work, call: { readonly caller: number; readonly n: number }) => Promise<unknown>
}

const id = (): string => crypto.randomUUID()
const anItem = (): number => 1 + Math.floor(Math.random() * ITEMS)
const lines = (count: number, n: number): number[] => Array.from({ length: count }, (_, i) => 1 + ((n + i) % ITEMS))

/** Not to and fro: a batch that changes nothing in all would spare those who compare with a balance that they know. */
const SOLD = -1

/** A half of the ids come twice, the second time while the first is still near. */
const half = (n: number): string => `${process.pid}-${n - (n % 2)}`

export const CELLS: readonly Cell[] = [
  ...cells('updateVersioned, object', 'updateObject', { 1: 1 }, (side, { caller }) => side.updateObject(caller)),
  ...cells('updateVersioned, function', 'updateFunction', { 1: 1.2 }, (side) => side.updateFunction(1)),
  ...cells('updateVersioned, one row', 'updateFunction', { 16: 12 }, (side) => side.updateFunction(1)),
  ...cells('updateVersioned, 1,000 rows', 'updateFunction', { 16: 2.5 }, (side) => side.updateFunction(anItem())),
  ...cells('createIdempotent, new', 'insert', { 1: 1, 16: 2.8, 64: 5 }, (side) => side.insert(id())),
  ...cells('createIdempotent, half duplicates', 'insertOnce', { 16: 1 }, (side, { n }) => side.insertOnce(half(n))),
  ...cells('$idempotent', 'operation', { 1: 0.95, 16: 1 }, (side) => side.operation(id())),
  ...cells('$transactionWithRetry', 'transaction', { 1: 0.85, 16: 0.8 }, (side) => side.transaction(id())),
  ...cells('$withAdvisoryLock', 'lock', { 1: 0.95 }, (side) => side.lock('key', id())),
  ...cells('$withAdvisoryLock, section of 2 ms', 'section', { 64: 0.95 }, (side) => side.section(1)),
  ...cells('$withAdvisoryLock, section of 2 ms', 'section', { 16: 1 }, (side) => side.section(1), 4),
  ...cells('$stock.move', 'move', { 1: 2.1, 16: 5 }, (side) => side.move(id(), 1, SOLD)),
  ...cells('$stock.move', 'move', { 8: 5 }, (side) => side.move(id(), 1, SOLD), 4),
  ...cells('$stock.move', 'move', { 16: 8 }, (side) => side.move(id(), 1, SOLD), 4),
  ...cells('$stock.move, 4 slots', 'moveInSlots', { 16: 12 }, (side) => side.moveInSlots(id(), 1, SOLD), 4),
  ...cells('$stock.move, 1,000 items', 'move', { 16: 2.1 }, (side) => side.move(id(), anItem(), SOLD)),
  ...cells('tx.$stock.move', 'moveInTransaction', { 1: 1.2, 16: 1.6 }, (side) =>
    side.moveInTransaction(id(), anItem(), SOLD),
  ),
  ...cells('$stock.moveAll, 10 lines', 'moveAll', { 1: 2 }, (side, { n }) => side.moveAll(id(), lines(10, n))),
  ...cells('$stock.moveAll, 100 lines', 'moveAll', { 1: 2 }, (side, { n }) => side.moveAll(id(), lines(100, n))),
  ...cells('$serials.allocate × 3', 'serials', { 1: 1.6, 16: 5 }, (side) => side.serials(id())),
  ...cells('$series.next and document', 'number', { 1: 0.95, 16: 1 }, (side) => side.number(id())),
  ...cells('$series.next by transaction id', 'numberById', { 1: 0.95, 16: 1 }, (side) => side.numberById(id())),
  ...cells('$series.create', 'numberTogether', { 16: 15 }, (side) => side.numberTogether(id())),
]

/** A cell for each number of callers, with what it must reach. */
function cells(
  name: string,
  work: keyof Work,
  wanted: Readonly<Record<number, number>>,
  call: Cell['call'],
  processes = 1,
): Cell[] {
  return Object.entries(wanted).map(([callers, ratio]) => ({
    name,
    work,
    callers: Number(callers),
    processes,
    wanted: ratio,
    call,
  }))
}
