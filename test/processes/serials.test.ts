import { expect, test } from 'vitest'
import { openConnection } from '../support/connection.js'
import { startProcess } from '../support/process.js'
import { newId, useSerials } from '../support/serials.js'
import type { SerialsOutcome, SerialsWork } from '../support/serials-worker.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newProduct, owners } = useSerials()

const newIds = (count: number) => Array.from({ length: count }, newId)

/** Starts a process for each work, and lets them all go when all of them are ready. `undefined` is one that died. */
async function race(works: readonly Omit<SerialsWork, 'url'>[]): Promise<(SerialsOutcome | undefined)[]> {
  const referee = await openConnection(database.url)
  await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
  const processes = works.map((work) =>
    startProcess('serials-worker.ts', { url: database.url, ...work } satisfies SerialsWork),
  )
  await untilBlocked(database.url, works.length)
  await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
  return Promise.all(
    processes.map((child, i) => child.answer<SerialsOutcome>().catch((error) => died(works[i].diesAfter, error))),
  )
}

function died(wasToDie: number | undefined, error: unknown): undefined {
  if (wasToDie === undefined) throw error
}

/** Every transaction id twice, in two processes, and in four processes in all. */
function sentTwice(ids: readonly string[], work: Omit<SerialsWork, 'url' | 'transactionIds'>) {
  const half = ids.length / 2
  const halves = [ids.slice(0, half), ids.slice(half), ids.slice(0, half).reverse(), ids.slice(half).reverse()]
  return halves.map((transactionIds) => ({ ...work, transactionIds }))
}

/** The numbers of each transaction id, as its callers were told: all of them the same. */
function told(outcomes: readonly (SerialsOutcome | undefined)[]): Map<string, readonly string[]> {
  const numbers = new Map<string, readonly string[]>()
  const first = new Set<string>()
  for (const { transactionId, numbers: own, replayed } of outcomes.flatMap((outcome) => outcome?.taken ?? [])) {
    expect(numbers.get(transactionId) ?? own).toEqual(own)
    numbers.set(transactionId, own)
    if (replayed) continue
    expect(first.has(transactionId)).toBe(false)
    first.add(transactionId)
  }
  return numbers
}

/** The numbers of each transaction id, as the database has them. */
async function recorded(productId: number): Promise<Map<string, readonly string[]>> {
  const numbers = new Map<string, string[]>()
  for (const [number, owner] of Object.entries(await owners(productId))) {
    if (owner !== null) numbers.set(owner, [...(numbers.get(owner) ?? []), number])
  }
  return numbers
}

const sorted = (map: Map<string, readonly string[]>) =>
  [...map]
    .filter(([, numbers]) => numbers.length > 0)
    .map(([id, numbers]) => `${id}: ${[...numbers].sort().join()}`)
    .sort()

test('a thousand callers in four processes take three each of 2,500, every request sent twice: none twice, one left', async () => {
  const { db } = connect()
  const productId = await newProduct(2_500)
  const ids = newIds(1_000)

  const outcomes = await race(sentTwice(ids, { productId, count: 3, partial: false }))

  expect(outcomes.flatMap((outcome) => outcome?.failures)).toEqual([])
  const numbers = told(outcomes)
  expect([...numbers.values()].every((own) => own.length === 3)).toBe(true)
  expect(numbers.size).toBe(833)
  expect(sorted(numbers)).toEqual(sorted(await recorded(productId)))
  // Refused were all the others, whole, and with what was left.
  const refused = outcomes.flatMap((outcome) => outcome?.refused ?? [])
  expect(new Set(refused.map(({ transactionId }) => transactionId)).size).toBe(167)
  expect(refused.every(({ free }) => free < 3)).toBe(true)
  expect(await db.$serials.free({ productId })).toBe(1)
})

test('where fewer will do, a thousand callers take all of 2,500, and the last of them what is left', async () => {
  const { db } = connect()
  const productId = await newProduct(2_500)
  const ids = newIds(1_000)

  const outcomes = await race(sentTwice(ids, { productId, count: 3, partial: true }))

  expect(outcomes.flatMap((outcome) => [...(outcome?.failures ?? []), ...(outcome?.refused ?? [])])).toEqual([])
  const numbers = told(outcomes)
  const sizes = [...numbers.values()].map((own) => own.length)
  expect([3, 2, 1, 0].map((size) => sizes.filter((own) => own === size).length)).toEqual([833, 0, 1, 166])
  expect(sorted(numbers)).toEqual(sorted(await recorded(productId)))
  expect(await db.$serials.free({ productId })).toBe(0)
})

test('when a process is killed in the middle and all is sent again, everybody has three in the end, and nobody more', async () => {
  const { db } = connect()
  const productId = await newProduct(1_000)
  const ids = newIds(300)
  const work = { productId, count: 3, partial: false }

  const before = await race([
    { ...work, transactionIds: ids, diesAfter: 40 },
    { ...work, transactionIds: [...ids].reverse() },
  ])
  const after = await race([{ ...work, transactionIds: ids }])

  const numbers = told([...before, ...after])
  expect(numbers.size).toBe(300)
  expect(sorted(numbers)).toEqual(sorted(await recorded(productId)))
  expect(await db.$serials.free({ productId })).toBe(100)
})

test('lists of numbers that overlap give each serial to one of four processes, one of which is killed', async () => {
  const productId = await newProduct(20)
  const ids = newIds(40)
  // In both orders, and each serial in four of the lists.
  const numbers = Object.fromEntries(
    ids.map((id, i) => {
      const list = [`S-${1 + (i % 20)}`, `S-${1 + ((i * 7 + 3) % 20)}`]
      return [id, list[0] === list[1] ? list.slice(1) : i % 2 === 0 ? list : list.reverse()]
    }),
  )
  const works = sentTwice(ids, { productId, count: 0, partial: false, numbers })

  const outcomes = await race(works.map((work, i) => (i === 0 ? { ...work, diesAfter: 3 } : work)))

  expect(outcomes.flatMap((outcome) => outcome?.failures ?? [])).toEqual([])
  const owned = await recorded(productId)
  for (const [id, own] of owned) expect([...own].sort()).toEqual([...(numbers[id] ?? [])].sort())
  for (const [id, own] of told(outcomes)) expect([...own].sort()).toEqual([...(owned.get(id) ?? [])].sort())
  expect(owned.size).toBeGreaterThan(0)
})
