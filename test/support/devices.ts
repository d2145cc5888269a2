import { randomInt, randomUUID } from 'node:crypto'
import type { Row } from '../../src/engine/session.js'
import { setupOf } from '../../src/engine/setup.js'
import { serials } from '../../src/pg.js'
import { serialFlaws } from '../../src/serials/audit.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import type { SerialsMap } from '../../src/serials/mapping.js'
import type { describeEngines, EngineName } from './engines.js'

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]

/** Serials with a state and a history. */
export const DEVICES = {
  serial: { model: 'Device', state: { free: 'FREE', allocated: 'ALLOCATED' } },
  allocation: { model: 'DeviceAllocation' },
  history: { model: 'DeviceHistory' },
} as const

export interface CheckedClient {
  $checkConcurrency(): Promise<readonly { code: string; where: string }[]>
}

export interface DeviceRow {
  readonly productId: number
  readonly number: string
  readonly transactionId: string | null
  readonly orderId: number | null
  readonly state: string
  readonly changes: number
}

export function useDevices({ connect, database, name }: Pick<Engine, 'connect' | 'database' | 'name'>) {
  const newId = () => randomUUID()
  const open = async (engine: EngineName = name, url = database.url) => {
    const made = await connect(engine, { url })
    const onPg = () => made.db.$extends(serials<DeviceRow>(DEVICES))
    const db = engine === 'pg' ? onPg() : made.db.$extends(prismaSerials(DEVICES) as never)
    return db as ReturnType<typeof onPg>
  }
  const newProduct = async (count: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "Device" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2::int) AS n`,
      [productId, count],
    )
    return productId
  }
  const flawsOf = async (db: object) => {
    const setup = setupOf(db)
    const map = setup?.features.find((feature) => feature.name === 'serials')?.map as SerialsMap
    const flaws: unknown[] = []
    for await (const flaw of serialFlaws(setup?.session as never, map)) flaws.push(flaw)
    return flaws
  }
  const brief = (changes: readonly Row[]) =>
    changes.map(({ sequence, transactionId, orderId, state }) => [sequence, transactionId, orderId, state])
  return { brief, flawsOf, newId, newProduct, open }
}
