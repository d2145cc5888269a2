import type { Field } from '../engine/data-model.js'
import type { ClientSetup, FeatureSetup } from '../engine/setup.js'
import { ownershipFlaws, serialFlaws } from '../serials/audit.js'
import type { SerialsMap } from '../serials/mapping.js'
import { seriesFlaws } from '../series/audit.js'
import type { SeriesMap } from '../series/mapping.js'
import { discrepancies } from '../stock/audit.js'
import type { StockMap } from '../stock/mapping.js'
import { reservationFlaws } from '../stock/reservation-audit.js'
import { isSerials, isSeries, isStock } from './features.js'

/** Something that does not add up. */
export interface AuditFinding {
  readonly code: AuditCode
  /** The record that it is about. */
  readonly where: string
  readonly what: string
}

export type AuditCode =
  | 'STOCK_BALANCE'
  | 'STOCK_RESERVED'
  | 'STOCK_ITEM_MISSING'
  | 'STOCK_HISTORY'
  | 'RESERVATION_STATE'
  | 'SERIALS_HISTORY'
  | 'SERIALS_OWNER'
  | 'SERIALS_STATE'
  | 'SERIES_GAP'
  | 'SERIES_COUNTER'
  | 'SERIES_TWICE'
  | 'SERIES_RECORD'

type Session = ClientSetup['session']

/** A check, whose findings come as they are found: nothing holds all of them. */
export type Check = () => AsyncIterable<AuditFinding>

/** The checks of a feature. */
export function checksOf(session: Session, feature: FeatureSetup): readonly Check[] {
  if (isStock(feature)) return [() => ofStock(session, feature.map), () => ofReservations(session, feature.map)]
  if (isSerials(feature)) return [() => ofSerials(session, feature.map)]
  return isSeries(feature) ? [() => ofSeries(session, feature.map)] : []
}

async function* ofStock(session: Session, map: StockMap): AsyncGenerator<AuditFinding> {
  for await (const found of discrepancies(session, map)) {
    const where = `${map.item.model.name} ${textOf(found.item)}`
    const [balance, expected] = [String(found.balance), String(found.expected)]
    const [reserved, expectedReserved] = [String(found.reserved), String(found.expectedReserved)]
    if (found.missing) {
      yield { code: 'STOCK_ITEM_MISSING', where, what: 'is not there, but movements or active reservations name it' }
      continue
    }
    if (balance !== expected) {
      yield { code: 'STOCK_BALANCE', where, what: `has ${balance} on hand, and its movements add up to ${expected}` }
    }
    if (found.brokenAt !== undefined) {
      const ofSlot = found.brokenSlot === undefined ? '' : ` of the slot ${found.brokenSlot}`
      const what = `has a history that does not add up at the number ${found.brokenAt}${ofSlot}`
      yield { code: 'STOCK_HISTORY', where, what }
    }
    if (reserved !== expectedReserved) {
      const what = `has ${reserved} reserved, and its active reservations add up to ${expectedReserved}`
      yield { code: 'STOCK_RESERVED', where, what }
    }
  }
}

async function* ofReservations(session: Session, map: StockMap): AsyncGenerator<AuditFinding> {
  for await (const { scope, transactionId, line, state } of reservationFlaws(session, map)) {
    const name = [...scope, transactionId].map(textOf).join(' ')
    const where = `${map.reservation?.model.name} ${name}, line ${line}`
    const what =
      state === 'active' ? 'is active, and its transaction id has a movement' : 'is fulfilled without a movement'
    yield { code: 'RESERVATION_STATE', where, what }
  }
}

async function* ofSerials(session: Session, map: SerialsMap): AsyncGenerator<AuditFinding> {
  for await (const { scope, transactionId, serials, allocated } of ownershipFlaws(session, map)) {
    const where = `transaction id ${textOf(transactionId)}${inScope(map.serial.scope, scope)}`
    const noted = allocated === null ? 'no allocation of it is noted' : `its allocation took ${allocated}`
    yield { code: 'SERIALS_OWNER', where, what: `has ${serials} of ${map.serial.model.name}, and ${noted}` }
  }
  for await (const { serial, history, state } of serialFlaws(session, map)) {
    const where = `${map.serial.model.name} ${textOf(serial)}`
    if (history) yield { code: 'SERIALS_HISTORY', where, what: 'has changes that its history lacks, or another owner' }
    if (state) yield { code: 'SERIALS_STATE', where, what: 'is in a state that does not fit whether it has an owner' }
  }
}

async function* ofSeries(session: Session, map: SeriesMap): AsyncGenerator<AuditFinding> {
  for await (const flaw of seriesFlaws(session, map)) {
    const where = `series ${textOf(flaw.series)}`
    switch (flaw.kind) {
      case 'gap': {
        const { from, to } = flaw
        const isOne = from === to
        yield {
          code: 'SERIES_GAP',
          where: inPeriod(where, flaw.period),
          what: isOne
            ? `${from} was taken, and no transaction id has it`
            : `${from} to ${to} were taken, and no transaction id has them`,
        }
        break
      }
      case 'ahead of the counter':
        yield {
          code: 'SERIES_COUNTER',
          where: inPeriod(where, flaw.period),
          what: `${flaw.value} is given, and the counter is not that far`,
        }
        break
      case 'twice':
        yield {
          code: 'SERIES_TWICE',
          where: inPeriod(where, flaw.period),
          what: `${flaw.value} is more than one of these: used by a transaction id, void, free`,
        }
        break
      case 'other record': {
        const { number, transactionId, recorded } = flaw
        const record = recorded === null ? 'has no record' : `is ${textOf(recorded)} in its record`
        yield { code: 'SERIES_RECORD', where, what: `${textOf(number)} of ${textOf(transactionId)} ${record}` }
      }
    }
  }
}

/** ` of companyId 7` */
const inScope = (fields: readonly Field[], scope: readonly string[]) =>
  fields.map(({ name }, i) => ` of ${name} ${textOf(scope[i])}`).join('')

const inPeriod = (where: string, period: string) => (period === '' ? where : `${where}, period ${period}`)

/** A key may hold a bigint, which JSON has not. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item))
}
