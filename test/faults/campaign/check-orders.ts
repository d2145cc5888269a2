import { answers, type Check, checkFresh, checkKey, isDone, isRefused, type Report } from './checks.js'
import type { Call } from './log.js'
import * as sizes from './sizes.js'
import { grouped, type Tables } from './tables.js'

const MOVING = ['part', 'rest', 'take', 'pick', 'supply', 'undo', 'both'] as const

/** Of the second ledger: each movement is there once, whole, and an order is what its calls have made of it. */
export const checkOrders: Check = (of, tables, report) => {
  for (const kind of MOVING) {
    const calls = grouped(of(kind), ({ facts }) => `${kind} ${facts.join(' ')}`)
    for (const [key, own] of calls) {
      const lines = tables.palletMovements.get(key) ?? []
      checkKey(key, own, lines.length > 0, report)
      checkFresh(key, own, (call) => answers<[boolean]>(call)[0] === false, report)
      const moved = lines.reduce((sum, { quantity }) => sum + quantity, 0)
      if (lines.length > 0 && !isRight(kind, Number(own[0]?.facts[0]), moved)) report(`${key} has moved ${moved}`, own)
    }
  }
  checkUndone(of, tables, report)
  for (const call of of('both')) {
    const key = `both ${call.facts[0]}`
    if (tables.movements.has(key) !== tables.palletMovements.has(key)) report(`${key} is in one ledger alone`, [call])
  }
  const kinds = ['open', 'change', 'extend', 'part', 'rest', 'cancel'] as const
  const calls = grouped(kinds.flatMap(of), ({ facts }) => Number(facts[0]))
  for (const [n, own] of calls) checkOrder(n, own, tables, report)
}

/** Whether a movement of this kind may come to so much. */
function isRight(kind: (typeof MOVING)[number], n: number, moved: number): boolean {
  const { quantity } = sizes.orderOf(n)
  if (kind === 'part' || kind === 'both') return moved === -1
  if (kind === 'take') return moved < 0 && moved >= -quantity
  if (kind === 'rest') return moved < 0
  return moved === (kind === 'supply' ? quantity : -quantity)
}

/** Of two calls that undo one delivery, one does. */
function checkUndone(of: (kind: string) => Call[], { palletMovements }: Tables, report: Report): void {
  for (const [n, calls] of grouped(of('undo'), ({ facts }) => facts[0])) {
    const times = [0, 1].filter((which) => palletMovements.has(`undo ${n} ${which}`)).length
    if (times > 1) report(`supply ${n} was undone twice`, calls)
    if (times > 0 && !palletMovements.has(`supply ${n}`)) report(`supply ${n} was undone, and is not there`, calls)
  }
}

function checkOrder(n: number, all: readonly Call[], { orders, palletMovements }: Tables, report: Report): void {
  const of = (kind: string) => all.filter((call) => call.kind === kind)
  const key = `order ${n}`
  const history = [...all].sort((a, b) => a.from - b.from)
  const reportAll = (what: string) => report(what, history)
  const order = orders.get(key)
  checkKey(key, of('open'), order !== undefined, reportAll)
  checkFresh(key, of('open'), (call) => answers<[boolean]>(call)[0] === false, reportAll)
  if (!order) return
  const { quantity, changed } = sizes.orderOf(n)
  const { state, fulfilled, original } = order
  const moved = ['part', 'rest'].flatMap((kind) => palletMovements.get(`${kind} ${n}`) ?? [])
  const taken = -moved.reduce((sum, line) => sum + line.quantity, 0)
  if (fulfilled !== taken) reportAll(`${key} is marked with ${fulfilled}, and ${taken} were taken`)
  checkEffect({ what: `the change of ${key}`, calls: of('change'), report: reportAll }, order.quantity === changed)
  if (order.quantity !== quantity && order.quantity !== changed) reportAll(`${key} is of ${order.quantity}`)
  if (original !== (order.quantity === changed ? quantity : null)) reportAll(`${key} was at first of ${original}`)
  checkEffect({ what: `the end of ${key}`, calls: of('extend'), report: reportAll }, !order.isEndless)
  const isOver = fulfilled === order.quantity
  if (isOver !== (state === 'fulfilled')) reportAll(`${key} is ${state}, with ${fulfilled} of ${order.quantity} taken`)
  const cancelled = of('cancel').filter((call) => isDone(call) && answers<[boolean]>(call)[0])
  if (cancelled.length > 1) reportAll(`${key} was cancelled twice`)
  if (cancelled.length > 0 && state !== 'released') reportAll(`${key} was cancelled, and is ${state}`)
  if (state === 'released' && of('cancel').every(isRefused)) reportAll(`${key} is released, and nobody did it`)
}

interface Effect {
  readonly what: string
  readonly calls: readonly Call[]
  readonly report: (what: string) => void
}

function checkEffect({ what, calls, report }: Effect, isThere: boolean): void {
  if (!isThere && calls.some(isDone)) report(`${what} is acknowledged, and is not there`)
  if (isThere && calls.every(isRefused)) report(`${what} was refused, and is there`)
}
