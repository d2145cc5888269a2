import { expect } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { useEngine } from './engines.js'
import { newId } from './tickets.js'

type Engine = ReturnType<typeof useEngine>

/** A site of a company. */
export interface Site {
  readonly companyId: number
  readonly site: number
}

const movement = { model: 'SeatSale' } as const
const item = { model: 'Seat', slots: { field: 'slot', adapt: false }, opening: 'opening' } as const

/** Two ledgers on the same tables: a site is a part of the scope, or of an item's key. */
const LEDGERS = {
  'one field': {
    options: { scope: ['companyId'], item: { ...item, key: ['site', 'event'] }, movement },
    scopeOf: ({ companyId }: Site) => ({ companyId }),
    itemOf: ({ site }: Site, event: string) => ({ site, event }),
  },
  'two fields': {
    options: { scope: ['companyId', 'site'], item: { ...item, key: 'event' }, movement },
    scopeOf: ({ companyId, site }: Site) => ({ companyId, site }),
    itemOf: (_: Site, event: string) => event,
  },
} as const
export type LedgerName = keyof typeof LEDGERS
export const LEDGER_NAMES = Object.keys(LEDGERS) as LedgerName[]

type Key = string | { readonly site: number; readonly event: string }

/** Seats of sites, in the database of a test file, by clients of an engine. */
export function useSeats({ name, database, connect }: Engine, ledger: LedgerName) {
  const { options, scopeOf, itemOf } = LEDGERS[ledger]
  const opened: { readonly db: SeatDb; readonly slot: number }[] = []
  const open = async () => {
    const { db, client } = await connect(name)
    const onPg = () => db.$extends(stock<Key, number, Record<string, number>>(options))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(options as never))
    return name === 'pg' ? onPg() : (onPrisma() as unknown as ReturnType<typeof onPg>)
  }
  type SeatDb = Awaited<ReturnType<typeof open>>
  /** The stock of a site, by its events. */
  const at = (db: SeatDb, site: Site) => {
    const own = db.$stock.in(scopeOf(site))
    const key = (event: string) => itemOf(site, event)
    return {
      move: (event: string, quantity: number, transactionId = newId()) =>
        own.move({ transactionId, item: key(event), quantity }),
      moveAll: (events: Readonly<Record<string, number>>, transactionId = newId()) =>
        own.moveAll({
          transactionId,
          lines: Object.entries(events).map(([event, quantity]) => ({ item: key(event), quantity })),
        }),
      setSlots: (event: string, count: number) => own.setSlots({ item: key(event), count }),
      balance: async (event: string) => (await own.balance({ item: key(event) })).onHand,
      balances: async () => (await own.balances({ items: [key('a'), key('b')] })).map(({ onHand }) => onHand),
      count: (event: string, counted: number) => own.count({ transactionId: newId(), item: key(event), counted }),
      history: (event: string, page: object = {}) => own.history({ item: key(event), ...page }),
      balanceAt: (event: string) => own.balanceAt({ item: key(event), at: new Date() }),
      audit: () => own.audit(),
    }
  }
  /** So much of an event in each of its slots. */
  const fill = ({ companyId, site }: Site, event: string, ...onHand: readonly number[]) =>
    database.query(
      `INSERT INTO "Seat" ("companyId", site, event, slot, "onHand", opening)
SELECT $1, $2, $3, number - 1, quantity, quantity FROM unnest($4::int[]) WITH ORDINALITY AS s(quantity, number)
ON CONFLICT DO NOTHING`,
      [companyId, site, event, onHand],
    )
  const slotsOf = async ({ companyId, site }: Site, event: string) => {
    const rows = await database.query(
      'SELECT "onHand" FROM "Seat" WHERE "companyId" = $1 AND site = $2 AND event = $3 ORDER BY slot',
      [companyId, site, event],
    )
    return rows.map((row) => row.onHand as number)
  }
  /** A client that takes from this one of two slots. */
  const connectAt = async (slot: 0 | 1): Promise<SeatDb> => {
    for (;;) {
      const known = opened.find((each) => each.slot === slot)
      if (known) return known.db
      const db = await open()
      const probe = { companyId: 0, site: 0 }
      const event = newId()
      await fill(probe, event, 0, 0)
      await at(db, probe).move(event, 1)
      opened.push({ db, slot: (await slotsOf(probe, event)).indexOf(1) })
    }
  }
  const clear = () => database.query('TRUNCATE "Seat", "SeatSale"')
  const expectExact = async (db: SeatDb, sites: readonly Site[]) => {
    for (const site of sites) expect(await at(db, site).audit()).toEqual([])
    expect(await database.query('SELECT FROM "Seat" WHERE "onHand" < 0')).toEqual([])
  }
  return { at, fill, slotsOf, connectAt, clear, expectExact }
}
