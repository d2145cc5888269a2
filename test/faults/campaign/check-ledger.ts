import { answers, type Check, checkFresh, checkKey, isDone, type Report } from './checks.js'
import type { Call } from './log.js'
import * as sizes from './sizes.js'
import { grouped, type LedgerMovement } from './tables.js'

const BOOKING = ['book', 'pair', 'post', 'amend'] as const

/** Of the third ledger: each movement was made once, whole, and is there, or was pruned as somebody has asked. */
export const checkLedger: Check = (of, { ledger, wrongLooks }, report) => {
  for (const flaw of wrongLooks) report(flaw, [])
  for (const kind of ['look', 'walk', 'audit ledger']) {
    for (const call of of(kind).filter(isDone)) {
      const flaws = answers<unknown[]>(call)
      if (flaws.length > 0) report(`a look at the ledger does not fit: ${JSON.stringify(flaws)}`, [call])
    }
  }
  const prunes = of('prune')
  const forgotten = Math.max(-10, ...prunes.map(({ facts }) => Number(facts[0])))
  for (const kind of BOOKING) {
    for (const [key, calls] of grouped(of(kind), ({ facts }) => `${kind} ${facts.join(' ')}`)) {
      const lines = ledger.get(key) ?? []
      checkKey(key, calls, lines.length > 0, report)
      checkFresh(key, calls, (call) => answers<[boolean]>(call)[0] === false, report)
      if (lines.length > 0) checkLines(key, kind, calls, lines, report)
      if (lines.some(({ isGone, day }) => isGone && day >= sizes.dayAt(forgotten)))
        report(`${key} was pruned, and nobody has asked for it`, [...calls, ...prunes])
    }
  }
  checkAmended(of, ledger, report)
  checkClosed(of, report)
  checkAsked(of, ledger, report)
}

function checkLines(
  key: string,
  kind: string,
  calls: readonly Call[],
  lines: readonly LedgerMovement[],
  report: Report,
) {
  const { item, other, quantity } = sizes.bookingOf(Number(calls[0]?.facts[0]))
  const gone = lines.filter(({ isGone }) => isGone)
  if (gone.length > 0 && gone.length < lines.length) report(`${key} was pruned in part, or was made again`, calls)
  const isTwo = kind === 'pair' && item !== other
  if (lines.length !== (isTwo ? 2 : 1)) report(`${key} has ${lines.length} lines`, calls)
  const wanted = { book: quantity, post: Math.abs(quantity), amend: -quantity, pair: isTwo ? quantity : 2 * quantity }[
    kind
  ]
  if (lines[0]?.quantity !== wanted) report(`${key} has moved ${lines[0]?.quantity}, and not ${wanted}`, calls)
}

/** A booking is undone once, also where it was pruned meanwhile. */
function checkAmended(of: (kind: string) => Call[], ledger: ReadonlyMap<string, unknown>, report: Report): void {
  for (const [n, calls] of grouped(of('amend'), ({ facts }) => facts[0])) {
    const times = [0, 1].filter((which) => ledger.has(`amend ${n} ${which}`)).length
    if (times > 1) report(`book ${n} was undone twice`, calls)
    if (times > 0 && !ledger.has(`book ${n}`)) report(`book ${n} was undone, and is not there`, calls)
  }
}

/** From the answer of a close on, nothing new is booked up to its day. */
function checkClosed(of: (kind: string) => Call[], report: Report): void {
  const closes = of('close').filter((call) => isDone(call) && !answers<{ open?: unknown[] }>(call).open)
  for (const kind of ['book', 'pair', 'post'] as const) {
    for (const call of of(kind).filter((each) => isDone(each) && answers<[boolean]>(each)[0] === false)) {
      const { date } = sizes.bookingOf(Number(call.facts[0]))
      const close = closes.find(
        ({ to = Number.POSITIVE_INFINITY, facts }) => to < call.from && date && date <= sizes.dayAt(Number(facts[0])),
      )
      if (close) report(`${kind} ${call.facts[0]} was made in a closed period`, [close, call])
    }
  }
}

/** The statement of an acknowledged booking has it, unless it was pruned. */
function checkAsked(
  of: (kind: string) => Call[],
  ledger: ReadonlyMap<string, readonly LedgerMovement[]>,
  report: Report,
): void {
  const booked = grouped(of('book').filter(isDone), ({ facts }) => facts[0])
  for (const ask of of('ask').filter((call) => isDone(call) && call.answer === 0)) {
    const [n] = ask.facts
    const before = booked.get(n)?.find(({ to = Number.POSITIVE_INFINITY }) => to < ask.from)
    const isThere = ledger.get(`book ${n}`)?.some(({ isGone }) => !isGone)
    if (before && isThere) report(`book ${n} is acknowledged, and its statement is empty`, [before, ask])
  }
}
