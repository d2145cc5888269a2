import type { Session } from '../engine/session.js'
import { join, raw, sql } from '../sql/statement.js'
import { type Balance, Decider, type RecordedMovement } from './decider.js'
import { type Decided, demandsOf } from './demand.js'
import { differingData, type LockedState, readMovements } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import { type Decision, nameOf, type Request } from './request.js'
import { idColumns, isOf, rowsIn } from './statements.js'
import { type Guard, leftBy, writeGuarded } from './write.js'

/** The outcome of movements that were sent in a guarded statement. */
export interface MovesResult {
  /** One for each request; `undefined` where only its items, locked, can tell. */
  readonly decisions: readonly (Decision | undefined)[]
  /** The items that the statements have locked, as they were before. */
  readonly locked: LockedState
  /** The balances that were left. */
  readonly left: ReadonlyMap<string, Balance>
}

/** The second time by the balances and movements that were found the first time. */
const MOST_STATEMENTS = 2

/**
 * Makes the movements that are likely to be granted in one statement, which is all or nothing. Then all of the
 * requests are decided by the balances that it has found, one after the other, in their order: those that were
 * not likely to be granted as well.
 */
export class GuardedMoves {
  readonly #session: Session
  readonly #map: StockMap
  readonly #requests: readonly Request[]
  readonly #found = new Map<string, Balance>()
  /** The balances that were found, or else those that this process knows. An item that it does not know has plenty. */
  readonly #likely = new Map<string, Balance>()
  #movements: ReadonlyMap<string, RecordedMovement> = new Map()
  #differing: ReadonlyMap<Request, readonly string[]> = new Map()
  #now = new Date(0)

  constructor(
    session: Session,
    map: StockMap,
    requests: readonly Request[],
    known?: (id: string) => Balance | undefined,
  ) {
    this.#session = session
    this.#map = map
    this.#requests = requests
    this.#guess(known)
  }

  #guess(known?: (id: string) => Balance | undefined): void {
    const plenty = {
      onHand: this.#map.quantities.highest >> 1n,
      reserved: 0n,
      minimum: null,
      maximum: null,
      sequence: 0n,
    }
    const nothing = { ...plenty, onHand: 0n }
    for (const { lines, room } of this.#requests) {
      const guess = typeof room?.maximum === 'bigint' ? nothing : plenty
      for (const { item } of lines) this.#likely.set(item.id, known?.(item.id) ?? guess)
    }
  }

  async run(bounds: Omit<Guard, 'demands'> = {}): Promise<MovesResult> {
    await this.#map.quantities.prepare(this.#session)
    for (let statement = 1; statement <= MOST_STATEMENTS; statement++) {
      const { likely, sent } = this.#choose()
      if (sent.length === 0) return this.#resultOf(likely)
      const demands = demandsOf(this.#map, this.#requests, likely, this.#likely)
      // Refusals are recorded where they are remembered, which takes more than this statement.
      const isPart = sent.length < this.#requests.length
      if (demands === undefined || (this.#map.rememberRefusals && isPart)) break
      const written = await writeGuarded(this.#session, this.#map, likely.set, { ...bounds, demands })
      const isAsKnown = this.#find(written)
      if (written.isWritten) return this.#resultOf(isAsKnown ? likely : this.#decide(this.#requests))
      if (written.balances.size < likely.set.items.length) break // an item is not there, or an id is not free
      try {
        this.#movements = await readMovements(this.#session, this.#map, this.#requests)
        const recorded = { movements: this.#movements }
        this.#differing = await differingData(this.#session, this.#map, this.#requests, recorded)
      } catch (error) {
        if (this.#session.inTransaction) throw error
        break // nothing was written, and a read that is cut leaves nothing unknown
      }
    }
    return { decisions: [], locked: this.#locked(), left: new Map() }
  }

  /** The requests that are likely to be granted. */
  #choose() {
    const isGrantedBy = ({ decisions }: Decided) => this.#requests.filter((_, i) => isGranted(decisions[i]))
    const likely = this.#decide(this.#requests)
    const sent = isGrantedBy(likely)
    if (sent.length > 0 || this.#found.size > 0 || this.#map.rememberRefusals) return { likely, sent }
    // The statement that finds all of them short is the quickest to ask.
    this.#guess()
    const hopeful = this.#decide(this.#requests)
    return { likely: hopeful, sent: isGrantedBy(hopeful) }
  }

  /** Notes what a statement has found. Returns whether it was known. */
  #find({ balances, now }: LockedState): boolean {
    this.#now = now
    let isAsKnown = true
    for (const [id, balance] of balances) {
      isAsKnown &&= isSame(balance, this.#likely.get(id))
      this.#found.set(id, balance)
      this.#likely.set(id, balance)
    }
    return isAsKnown
  }

  #decide(requests: readonly Request[]): Decided {
    const nothing = { reservations: new Map(), expired: new Map(), now: this.#now }
    const found = { balances: this.#likely, movements: this.#movements, differing: this.#differing }
    const decider = new Decider(this.#map, { ...nothing, ...found })
    const decisions = requests.map((request) => decider.decide(request))
    return { decisions, set: decider.writeSet([]) }
  }

  /**
   * Leaves out decisions that are not certain, and were not written: a reservation of an item may have expired, so that
   * more of it is available.
   */
  async #resultOf({ decisions, set }: Decided): Promise<MovesResult> {
    const hasNoneReserved = ({ lines }: Request) => lines.every(({ item }) => this.#found.get(item.id)?.reserved === 0n)
    const likely = this.#requests.map((request, i) =>
      isGranted(decisions[i]) || hasNoneReserved(request) ? decisions[i] : undefined,
    )
    const refused = this.#requests.filter((_, i) => likely[i]?.status === 'refused')
    const certain = refused.length > 0 ? await this.#certain(refused) : new Set()
    const settled = likely.map((decision, i) =>
      decision?.status === 'refused' && !certain.has(this.#requests[i]) ? undefined : decision,
    )
    return { decisions: settled, locked: this.#locked(), left: leftBy(set) }
  }

  /**
   * A refusal is certain where another movement is recorded under its id, and where nothing is: an id that is not
   * recorded now was not recorded when the items were locked.
   */
  async #certain(refused: readonly Request[]): Promise<ReadonlySet<unknown>> {
    const other = refused.filter((request) => this.#movements.get(nameOf(request))?.isRefused === false)
    const short = refused.filter((request) => !other.includes(request))
    if (short.length === 0 || this.#map.rememberRefusals) return new Set(other)
    try {
      const recorded = await findRecorded(this.#session, this.#map, short)
      return new Set([...other, ...short.filter((request) => !recorded.has(nameOf(request)))])
    } catch (error) {
      // Written movements stay written: the error is for the statement that decides the others.
      if (this.#session.inTransaction) throw error
      return new Set(other)
    }
  }

  #locked(): LockedState {
    return { balances: this.#found, now: this.#now }
  }
}

function isGranted(decision: Decision | undefined): boolean {
  return decision?.status === 'done' && !decision.replayed
}

function isSame(a: Balance, b: Balance | undefined): boolean {
  return (
    a.onHand === b?.onHand &&
    a.reserved === b.reserved &&
    a.minimum === b.minimum &&
    a.maximum === b.maximum &&
    a.closedUntil === b.closedUntil
  )
}

/** The ids under which anything is recorded. */
async function findRecorded(session: Session, map: StockMap, requests: readonly Request[]): Promise<Set<string>> {
  const ids = rowsIn('m', idColumns(map.movement, requests))
  const tables = map.reservation ? [map.movement, map.reservation] : [map.movement]
  const scope = raw(map.item.scope.map((_, i) => `m.k${i}::text, `).join(''))
  const lookups = tables.map(
    (lines) => sql`SELECT ARRAY[${scope}m.id::text] AS key FROM ${ids} JOIN ${lines.table} AS t ON ${isOf(lines, 't')}`,
  )
  const rows = await session.rows<{ key: string[] }>(join(lookups, '\nUNION ALL\n'))
  return new Set(rows.map(({ key }) => nameOf({ scope: key.slice(0, -1), transactionId: key.at(-1) as string })))
}
