/**
 * The price of columns that a ledger has besides its own: `$stock.move` with four columns of data, and in a scope, beside
 * the plain one, on node-postgres, where the least of the rest hides it. Interleaved in one process, with fsync. Prints
 * the ratio of the speeds.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { concurrency, stock } from '../../dist/pg.js'
import { startServer } from '../../test/support/server.js'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '25' }, ms: { type: 'string', default: '250' } },
})
const [rounds, ms] = [Number(values.rounds), Number(values.ms)]
const WARM_UP = 1_500

const TABLES = ['plain', 'wide', 'scoped'].map((name) => {
  const scope = name === 'scoped' ? 'company int4 NOT NULL, ' : ''
  const key = name === 'scoped' ? 'company, ' : ''
  const data = 'order_id text, reason text, user_id int4, unit_cost numeric(12, 2), '
  return `CREATE TABLE ${name} (${scope}item int4, "onHand" int4 NOT NULL, PRIMARY KEY (${key}item));
CREATE TABLE ${name}_movement (
  ${scope}"transactionId" text, line int4, item int4 NOT NULL, quantity int4 NOT NULL, ${name === 'wide' ? data : ''}
  PRIMARY KEY (${key}"transactionId", line)
);
INSERT INTO ${name} SELECT ${name === 'scoped' ? '1, ' : ''}1, 1000000000;`
})

const server = await startServer({ durable: true })
const pool = new pg.Pool({ connectionString: server.url, max: 10 })
try {
  await pool.query(TABLES.join('\n'))
  const models = (name: string) => ({ item: { model: name, key: 'item' }, movement: { model: `${name}_movement` } })
  const db = (await concurrency(pool))
    .$extends(stock(models('plain')))
    .$extends(stock({ name: 'wide', ...models('wide') }))
    .$extends(
      stock<'scoped', number, number, { company: number }>({ name: 'scoped', scope: ['company'], ...models('scoped') }),
    )
  const call = () => ({ transactionId: crypto.randomUUID(), item: 1, quantity: -1 })
  const data = { order_id: 'A-1', reason: 'sold', user_id: 7, unit_cost: '12.50' }
  const scoped = db.$scoped.in({ company: 1 })
  const ways = {
    'without either': () => db.$stock.move(call()),
    'four columns of data': () => db.$wide.move({ ...call(), data }),
    'a scope column': () => scoped.move(call()),
  }
  for (const callers of [1, 16]) await compare(ways, callers)
} finally {
  await pool.end()
  await server.stop()
}

async function compare(ways: Readonly<Record<string, () => Promise<unknown>>>, callers: number): Promise<void> {
  const speeds = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]))
  for (let round = -1; round < rounds; round++) {
    const order = Object.entries(ways)
    if (round % 2) order.reverse()
    for (const [name, call] of order) {
      const speed = await perSecond(call, callers, round < 0 ? WARM_UP : ms)
      if (round >= 0) speeds.get(name)?.push(speed)
    }
  }
  const plain = speeds.get('without either') ?? []
  for (const [name, own] of speeds) {
    const ratios = own.map((speed, i) => speed / (plain[i] ?? NaN))
    const [low, median, high] = [0.25, 0.5, 0.75].map((p) => quantile(ratios, p).toFixed(2))
    console.log(`${callers} callers, ${name}: ${Math.round(quantile(own, 0.5))} a second, ${median} (${low}–${high})`)
  }
}

async function perSecond(call: () => Promise<unknown>, callers: number, ms: number): Promise<number> {
  const begin = performance.now()
  let done = 0
  const loop = async () => {
    for (; performance.now() < begin + ms; done++) await call()
  }
  await Promise.all(Array.from({ length: callers }, loop))
  return (done / (performance.now() - begin)) * 1_000
}

function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN
}
