import type { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { concurrency as onPool, type PgClient, replicas as pgReplicas } from '../../src/pg.js'
import { replicas } from '../../src/work.js'
import type { Equal, Expect } from './support.js'

declare const base: PrismaClient
declare const replica: PrismaClient
const db = base.$extends(concurrency()).$extends(replicas({ clients: [replica], wait: 50 }))

const at = await db.$at()
type _at = Expect<Equal<typeof at, string>>

const names = await db.$after(
  at,
  async (reader) => {
    const products = await reader.product.findMany({ select: { name: true } })
    return products.map(({ name }) => name)
  },
  { wait: 0, timeout: 1_000 },
)
type _names = Expect<Equal<typeof names, string[]>>

// @ts-expect-error: a transaction has no connections of its own
db.$after(at, (reader) => reader.$disconnect())
// @ts-expect-error: a place is a text
db.$after(1, async () => {})
// @ts-expect-error: no such option
db.$after(at, async () => {}, { waits: 1 })
// @ts-expect-error: the clients are needed
replicas({})

declare const pool: PgClient
const shop = pool.$extends(pgReplicas({ clients: [await onPool(undefined as never)] }))
const rows = await shop.$after(
  await shop.$at(),
  async (reader) => (await reader.query<{ id: number }>('SELECT 1')).rows,
)
type _rows = Expect<Equal<typeof rows, { id: number }[]>>

export type { _at, _names, _rows }
