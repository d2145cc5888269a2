import type { Session } from '../engine/session.js'
import { patienceOf } from '../retry/call-options.js'
import { readAgain } from '../retry/read-again.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import type { StockParts } from './call.js'
import { readBalanceAt, readHistory } from './history.js'
import type { Args } from './lines.js'
import { readBalance, readBalances, readReserved, readStatement } from './look.js'
import type { StockMap } from './mapping.js'

type Read<R> = (session: Session, map: StockMap, args: Args) => Promise<R>

/** The methods of `$stock` that look, and write nothing. */
export class LookMethods {
  protected readonly parts: StockParts

  constructor(parts: StockParts) {
    this.parts = parts
  }

  balance(session: Session, args: Args) {
    return this.look(session, args, readBalance)
  }

  balances(session: Session, args: Args) {
    return this.look(session, args, readBalances)
  }

  history(session: Session, args: Args) {
    return this.look(session, args, readHistory)
  }

  balanceAt(session: Session, args: Args) {
    return this.look(session, args, readBalanceAt)
  }

  reservations(session: Session, args: Args) {
    return this.look(session, args, readReserved)
  }

  statement(session: Session, args: Args) {
    return this.look(session, args, readStatement)
  }

  /** In a transaction it waits for its turn, and sees what the calls before it have written. */
  protected look<R>(session: Session, args: Args, read: Read<R>): Promise<R> {
    const { map, policy } = this.parts
    const patience = patienceOf(policy, {})
    const { deadline } = patience
    const run = () => read(session.until(deadline), map, args)
    return session.inTransaction ? serializeInTransaction(session, deadline, run) : readAgain(patience, run)
  }
}
