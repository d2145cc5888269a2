import { checkLedger } from './check-ledger.js'
import { checkOrders } from './check-orders.js'
import type { Call, Uncaught } from './log.js'
import * as sizes from './sizes.js'
import { grouped, type Tables } from './tables.js'

/** A promise that was broken, and all that the logs have of its key. */
export interface Violation {
  readonly what: string
  readonly history: readonly Call[]
}

export type Report = (what: string, history: readonly Call[]) => void

/**
 * Compares what the callers were told with what the tables have: an acknowledged write is there exactly once, a refused
 * one has left nothing, one of unknown outcome is there once at most.
 */
export function check(calls: readonly Call[], tables: Tables): Violation[] {
  const violations: Violation[] = []
  const report: Report = (what, history) => violations.push({ what, history })
  const kinds = grouped(calls, ({ kind }) => kind)
  const of = (kind: string) => kinds.get(kind) ?? []
  for (const part of [
    checkCounters,
    checkLists,
    checkDeletes,
    checkInserts,
    checkOnce,
    checkSections,
    checkTransfers,
    checkMixed,
    checkMovements,
    checkBaskets,
    checkOrders,
    checkLedger,
    checkSerials,
    checkNumbers,
    checkAudits,
  ]) {
    part(of, tables, report)
  }
  return violations
}

export type Check = (of: (kind: string) => Call[], tables: Tables, report: Report) => void

export const isDone = ({ outcome }: Call) => outcome === 'ok'
export const isRefused = ({ outcome }: Call) => outcome === 'no' || outcome === 'away'
export const answers = <T>(call: Call) => call.answer as T

function byKey(calls: readonly Call[], prefix: string): Map<string, Call[]> {
  return grouped(calls, ({ facts }) => `${prefix} ${facts[0]}`)
}

/**
 * The calls under one key, of which one takes effect at most: `isThere` says whether it has. `isFresh`: whether a call
 * was told that it was the first.
 */
export function checkKey(key: string, calls: readonly Call[], isThere: boolean, report: Report): void {
  if (!isThere && calls.some(isDone)) report(`${key} is acknowledged, and is not there`, calls)
  if (isThere && calls.every(isRefused)) report(`${key} was refused, and is there`, calls)
}

export function checkFresh(
  key: string,
  calls: readonly Call[],
  isFresh: (call: Call) => boolean,
  report: Report,
): void {
  const fresh = calls.filter((call) => isDone(call) && isFresh(call))
  if (fresh.length > 1) report(`${key} was told to ${fresh.length} callers as the first`, calls)
}

const checkCounters: Check = (of, { products }, report) => {
  const all: { id: number; call: Call; version: number | undefined }[] = []
  const add = (id: number, call: Call, version?: number) => void all.push({ id, call, version })
  for (const call of of('count')) {
    if (!isRefused(call)) add(Number(call.facts[0]), call, isDone(call) ? answers<number[]>(call)[0] : undefined)
  }
  for (const call of of('many').filter((call) => !isRefused(call))) {
    if (isDone(call)) for (const [id = 0, version] of answers<number[][]>(call)) add(id, call, version)
    else for (const id of new Set(call.facts)) add(Number(id), call)
  }
  const writes = grouped(all, ({ id }) => id)
  for (const { id, stock, version } of products.values()) {
    if (id > sizes.COUNTERS) continue
    const own = writes.get(id) ?? []
    const history = own.map(({ call }) => call)
    const told = own.flatMap((write) => write.version ?? [])
    if (stock !== version) report(`counter ${id} lost an update: ${stock} at version ${version}`, history)
    if (new Set(told).size < told.length) report(`counter ${id}: two calls were told of one version`, history)
    if (version < told.length) report(`counter ${id}: ${told.length} acknowledged, and ${version} written`, history)
    if (version > own.length) report(`counter ${id}: ${version} written, and ${own.length} at most asked for`, history)
    if (told.some((each) => each > version)) report(`counter ${id}: a version that it never had was told`, history)
  }
}

const checkLists: Check = (of, { lists }, report) => {
  const calls = grouped(['list', 'list at', 'list plain', 'list raw'].flatMap(of), ({ facts }) => Number(facts[0]))
  for (const { id, version, tags } of lists) {
    const own = calls.get(id) ?? []
    const places = new Map(tags.map((tag, place) => [tag, place]))
    if (places.size < tags.length) report(`list ${id}: a write was carried out twice`, own)
    if (version !== tags.length) report(`list ${id}: ${tags.length} writes, and version ${version}`, own)
    for (const call of own) {
      const place = places.get(call.id)
      if (isDone(call) && place === undefined) report(`list ${id}: ${call.id} is acknowledged, and is not there`, own)
      if (isRefused(call) && place !== undefined) report(`list ${id}: ${call.id} was refused, and is there`, own)
      const told = typeof call.answer === 'number' ? call.answer : undefined
      if (isDone(call) && told !== undefined && place !== undefined && told !== place + 1) {
        report(`list ${id}: ${call.id} was told version ${told}, and wrote ${place + 1}`, own)
      }
    }
  }
}

const checkDeletes: Check = (of, { categories }, report) => {
  for (const call of of('delete').filter(isDone)) {
    const [id, ...codes] = answers<[number, ...string[]]>(call)
    const deleted = codes.filter((code) => code === 'ok').length
    const isCertain = codes.every((code) => code !== 'OUTCOME_UNKNOWN')
    if (deleted > 1) report(`row ${id} was deleted twice`, [call])
    if (deleted === 1 && categories.has(id)) report(`row ${id} was told to be deleted, and is there`, [call])
    if (deleted === 0 && isCertain && !categories.has(id)) report(`row ${id} is gone, and nobody was told`, [call])
  }
}

const checkInserts: Check = (of, { payments }, report) => {
  for (const [key, calls] of byKey(of('insert'), 'insert')) {
    const row = payments.get(key)
    checkKey(key, calls, row !== undefined, report)
    checkFresh(key, calls, (call) => answers<[number, boolean]>(call)[1] === false, report)
    for (const call of calls.filter(isDone)) {
      if (row && answers<[number]>(call)[0] !== row.id) report(`${key}: another record was told`, calls)
    }
  }
}

const checkOnce: Check = (of, { notes }, report) => {
  for (const kind of ['once', 'job']) {
    const written = grouped(notesOf(notes, kind), ([key]) => `${kind} ${key}`)
    for (const [key, calls] of byKey(of(kind), kind)) {
      const own = (written.get(key) ?? []).map(([, call = '']) => call)
      if (own.length > 1) report(`${key} was carried out ${own.length} times`, calls)
      const done = calls.filter(isDone)
      const hasRun = kind === 'once' ? done : done.filter((call) => answers<[boolean]>(call)[0])
      if (own.length === 0 && hasRun.length > 0) report(`${key} is acknowledged, and is not there`, calls)
      if (calls.find(isRefusedOne(own))) report(`${key} was refused, and is there`, calls)
      if (kind === 'job' && hasRun.length > 1) report(`${key} ran for ${hasRun.length} callers`, calls)
      if (kind === 'once') {
        checkFresh(key, calls, (call) => answers<[string, boolean]>(call)[1] === false, report)
        if (done.some((call) => answers<[string]>(call)[0] !== own[0])) report(`${key}: another answer was told`, calls)
      }
    }
  }
}

/** The words of the notes of a kind. */
const notesOf = (notes: readonly string[], kind: string) =>
  notes.filter((text) => text.startsWith(`${kind} `)).map((text) => text.split(' ').slice(1))

const isRefusedOne = (ids: readonly string[]) => (call: Call) => isRefused(call) && ids.includes(call.id)

const checkSections: Check = (of, { notes, products }, report) => {
  const written = grouped(notesOf(notes, 'section'), ([key]) => `section ${key}`)
  for (const [key, calls] of byKey(of('section'), 'section')) {
    const n = Number(key.split(' ')[1])
    const own = written.get(key) ?? []
    const values = new Set(own.map(([, value]) => value))
    const last = products.get(sizes.SECTIONS.first + n)?.stock
    if (values.size < own.length || own.length !== last) {
      report(`${key}: two were in it at once: ${own.length} passes, ${values.size} values, ${last} at the end`, calls)
    }
    const ids = new Set(own.map(([, , call = '']) => call))
    checkEach(key, calls, ids, report)
  }
}

/** Each call is one write of its own. */
function checkEach(key: string, calls: readonly Call[], ids: ReadonlySet<string>, report: Report): void {
  for (const call of calls) {
    if (isDone(call) && !ids.has(call.id)) report(`${key} is acknowledged, and is not there`, [call])
    if (isRefused(call) && ids.has(call.id)) report(`${key} was refused, and is there`, [call])
  }
}

const checkTransfers: Check = (of, { notes, products }, report) => {
  const { first, count, opening } = sizes.ACCOUNTS
  const balances = new Map(Array.from({ length: count }, (_, i) => [first + i, opening]))
  const ids: string[] = []
  for (const [from, to, quantity, call = ''] of notesOf(notes, 'transfer')) {
    balances.set(Number(from), (balances.get(Number(from)) ?? 0) - Number(quantity))
    balances.set(Number(to), (balances.get(Number(to)) ?? 0) + Number(quantity))
    ids.push(call)
  }
  const calls = of('transfer')
  if (new Set(ids).size < ids.length) report('a transfer was carried out twice', calls)
  checkEach('a transfer', calls, new Set(ids), report)
  for (const [id, balance] of balances) {
    const stock = products.get(id)?.stock
    if (stock !== balance) report(`account ${id} has ${stock}, and its transfers make ${balance}`, calls)
  }
}

const checkMixed: Check = (of, { notes, movements, serials, numbers }, report) => {
  const noted = notesOf(notes, 'mixed').map(([call = '']) => call)
  if (new Set(noted).size < noted.length) report('a mixed transaction was carried out twice', of('mixed'))
  const written = new Set(noted)
  checkEach('a mixed transaction', of('mixed'), written, report)
  for (const call of of('mixed')) {
    const { id } = call
    const parts = [written.has(id), movements.has(id), serials.has(id), numbers.has(id)]
    if (new Set(parts).size > 1) report(`the transaction of ${id} is half there: ${parts}`, [call])
  }
}

const checkMovements: Check = (of, { movements, wrongItems }, report) => {
  for (const item of wrongItems) report(`an item is not what its movements add up to: ${JSON.stringify(item)}`, [])
  for (const kind of ['move', 'order', 'defer']) {
    for (const [key, calls] of byKey(of(kind), kind)) {
      const lines = movements.get(key) ?? []
      checkKey(key, calls, lines.length > 0, report)
      checkFresh(key, calls, (call) => answers<[boolean]>(call)[0] === false, report)
      const { quantity } = sizes.storyOf(Number(calls[0]?.facts[0]))
      const isWhole =
        lines.length === 0 || (kind === 'order' ? lines.length === 2 || isSelf(calls) : lines.length === 1)
      if (!isWhole) report(`${key} is half there`, calls)
      if (kind !== 'order' && lines.some((line) => Math.abs(line.quantity) !== quantity)) {
        report(`${key} has another quantity`, calls)
      }
    }
  }
}

/** An order of one item, whose lines are added up. */
function isSelf([call]: readonly Call[]): boolean {
  const { productId, other } = sizes.storyOf(Number(call?.facts[0]))
  return productId === other
}

const checkBaskets: Check = (of, { movements, reservations }, report) => {
  const kinds = ['reserve', 'fulfil', 'release'].map((kind) => byKey(of(kind), 'basket'))
  for (const key of new Set(kinds.flatMap((map) => [...map.keys()]))) {
    const [reserve = [], fulfil = [], release = []] = kinds.map((map) => map.get(key) ?? [])
    const all = [...reserve, ...fulfil, ...release].sort((a, b) => a.from - b.from)
    const state = reservations.get(key)
    const reportAll: Report = (what) => report(what, all)
    checkKey(`the reservation of ${key}`, reserve, state !== undefined, reportAll)
    checkFresh(`the reservation of ${key}`, reserve, (call) => answers<[boolean]>(call)[0] === false, report)
    const isMoved = movements.has(key)
    checkKey(`the movement of ${key}`, fulfil, isMoved, reportAll)
    checkFresh(`the movement of ${key}`, fulfil, (call) => answers<[boolean]>(call)[0] === false, report)
    if (isMoved !== (state === 'fulfilled')) report(`${key} is ${state}, and ${isMoved ? '' : 'not '}moved`, all)
    const released = release.filter((call) => isDone(call) && answers<[boolean]>(call)[0])
    if (released.length > 1) report(`${key} was released twice`, all)
    if (released.length > 0 && state !== 'released') report(`${key} was released, and is ${state}`, all)
    if (state === 'released' && release.every(isRefused)) report(`${key} is released, and nobody did it`, all)
  }
}

const checkSerials: Check = (of, { serials, allocations }, report) => {
  for (const kind of ['serials', 'lent']) {
    for (const [key, calls] of byKey(of(kind), kind)) {
      const own = serials.get(key) ?? []
      checkKey(key, calls, kind === 'lent' ? allocations.has(key) : own.length > 0, report)
      checkFresh(key, calls, (call) => answers<[string[], boolean]>(call)[1] === false, report)
      if (kind === 'lent') continue
      if (own.length !== 0 && own.length !== 2) report(`${key} has ${own.length} serials`, calls)
      for (const call of calls.filter(isDone)) {
        const [told] = answers<[string[]]>(call)
        if (String(told) !== String(own)) report(`${key} was told ${told}, and has ${own}`, calls)
      }
    }
  }
  const lent = of('lent').filter((call) => isDone(call) && answers<[string[], boolean]>(call)[1] === false)
  const given = lent.flatMap((call) => answers<[string[]]>(call)[0].map((number) => ({ number, call })))
  const returns = grouped(
    of('return').filter((call) => !isRefused(call)),
    ({ facts }) => facts[0],
  )
  for (const [number, loans] of grouped(given, (loan) => loan.number)) {
    const calls = loans.map(({ call }) => call)
    const back = calls.flatMap(({ facts }) => returns.get(facts[0]) ?? [])
    if (calls.length > back.length + 1)
      report(`serial ${number} was given to ${calls.length} at once`, [...calls, ...back])
  }
}

const checkNumbers: Check = (of, { numbers, series, payments }, report) => {
  for (const [key, calls] of byKey(of('invoice'), 'invoice')) {
    const value = numbers.get(key)
    checkKey(key, calls, value !== undefined, report)
    if (calls.some((call) => isDone(call) && answers<[string]>(call)[0] !== value))
      report(`${key}: another number was told`, calls)
  }
  checkGapless('invoice', [...numbers.values()].map(BigInt), series, report)
  const documents = Array.from(payments).filter(([key]) => key.startsWith('document '))
  const numbersOf = documents.map(([, { reference }]) => BigInt(String(reference).replace(/^D-/, '')))
  checkGapless('document', numbersOf, series, report)
  for (const [key, calls] of byKey(of('document'), 'document')) {
    const row = payments.get(key)
    checkKey(key, calls, row !== undefined, report)
    checkFresh(key, calls, (call) => answers<[string, boolean]>(call)[1] === false, report)
    for (const call of calls.filter(isDone)) {
      const [text] = answers<[string]>(call)
      if (text !== row?.reference) report(`${key} was told ${text}, and has ${row?.reference}`, calls)
    }
  }
  const tickets = of('ticket').filter(isDone)
  const given = tickets.map((call) => BigInt(answers<string>(call)))
  if (new Set(given).size < given.length) report('a ticket was given twice', tickets)
  if (given.some((value) => value > (series.get('ticket') ?? 0n))) report('a ticket is beyond the counter', tickets)
}

function checkGapless(name: string, values: readonly bigint[], series: Tables['series'], report: Report): void {
  const last = series.get(name) ?? 0n
  const isWhole = new Set(values).size === values.length && BigInt(values.length) === last
  if (!isWhole) report(`series ${name} is at ${last}, and has ${values.length} numbers`, [])
}

const checkAudits: Check = (of, _, report) => {
  for (const call of of('audit').filter(isDone)) {
    if (call.answer !== 0) report(`an audit found ${call.answer} items in the middle of the work`, [call])
  }
}

/** A rejection that nobody could catch. An exception of the driver is plain Prisma's as well, and is counted only. */
export function checkUncaught(uncaught: readonly Uncaught[]): Violation[] {
  return uncaught
    .filter(({ x }) => x === 'rejection')
    .map(({ r }) => ({ what: `nobody could catch: ${r}`, history: [] }))
}
