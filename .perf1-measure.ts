import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { fork } from 'node:child_process'
import { PrismaClient } from './generated/prisma/client.js'
import { startEmbedded } from './test/support/server.js'
import { createDatabase } from './test/support/database.js'
const { concurrency } = await import(process.env.SRC ?? './src/index.js')

const SECONDS = Number(process.env.SECONDS ?? 2), ROUNDS = Number(process.env.ROUNDS ?? 5)
function client(url: string) {
  const statements = { n: 0 }
  class C extends pg.Client { override query(...a: any[]): any { statements.n++; return super.query(...(a as [never])) } }
  const pool = new pg.Pool({ connectionString: url, max: 10, Client: process.env.COUNT ? C as never : undefined })
  const base = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) })
  return { base, db: base.$extends(concurrency()) as any, statements, pool }
}
type C = ReturnType<typeof client>
const loop = async ({ base }: C, id: number) => {
  for (;;) {
    const row = await base.product.findUnique({ where: { id } })
    const { count } = await base.product.updateMany({ where: { id, version: row!.version }, data: { stock: row!.stock + 1, version: { increment: 1 } } })
    if (count === 1) return
  }
}
const ours = async ({ db }: C, id: number) => { await db.product.updateVersioned({ where: { id }, data: (c: any) => ({ stock: c.stock + 1 }) }) }
let tx = 0
const upsert = async ({ base }: C, key: string) => { await base.payment.upsert({ where: { transactionId: key }, create: { transactionId: key, amount: 5 }, update: {} }) }
const p2002 = async ({ base }: C, key: string) => { try { await base.payment.create({ data: { transactionId: key, amount: 5 } }) } catch (e: any) { if (e.code !== 'P2002') throw e; await base.payment.findUnique({ where: { transactionId: key } }) } }
const once = async ({ db }: C, key: string) => { await db.payment.createIdempotent({ where: { transactionId: key }, data: { amount: 5 } }) }

async function run(c: C, callers: number, op: (c: C) => Promise<unknown>, ms = SECONDS * 1000) {
  const lat: number[] = []; let fail = 0
  const t0 = performance.now(), cpu0 = process.cpuUsage(), s0 = c.statements.n
  await Promise.all(Array.from({ length: callers }, async () => {
    while (performance.now() - t0 < ms) {
      const t = performance.now()
      try { await op(c) } catch (e) { if (fail++ < 2) console.log(String(e).slice(0, 300)) }
      lat.push(performance.now() - t)
    }
  }))
  const dt = (performance.now() - t0) / 1000, cpu = process.cpuUsage(cpu0)
  lat.sort((a, b) => a - b)
  return { tps: lat.length / dt, p50: lat[lat.length >> 1], p99: lat[Math.floor(lat.length * .99)], fail, cpuUs: (cpu.user + cpu.system) / lat.length, st: (c.statements.n - s0) / lat.length }
}
if (process.send) {
  process.once('message', async ({ url, id, which, ms }: any) => {
    const c = client(url)
    await Promise.all(Array.from({ length: 10 }, () => c.base.$queryRaw`SELECT 1`))
    process.send!('ready')
    process.once('message', async () => { const r = await run(c, 8, (c) => (which === 'ours' ? ours : loop)(c, id), ms); process.send!(r, () => process.exit(0)) })
  })
} else {
  const server = process.env.PGURL ? { url: process.env.PGURL, stop: async () => {} } : await startEmbedded({ durable: true })
  const database = await createDatabase(server.url)
  const c = client(database.url)
  await database.query(`INSERT INTO "Product"(id,name,"updatedAt") SELECT g,'p'||g,now() FROM generate_series(1,1001) g`)
  const rnd = () => 1 + Math.floor(Math.random() * 1000)
  const procs = async (which: string) => {
    const kids = Array.from({ length: 4 }, () => fork(new URL(import.meta.url), { execArgv: ['--import', 'tsx'] }))
    const next = (k: any) => new Promise<any>((r) => k.once('message', r))
    const ready = kids.map(next); kids.forEach(k => k.send({ url: database.url, id: 1001, which, ms: SECONDS * 1000 })); await Promise.all(ready)
    const done = kids.map(next); kids.forEach(k => k.send('go')); const rs = await Promise.all(done)
    return { tps: rs.reduce((a, r) => a + r.tps, 0), p50: rs[0].p50, p99: Math.max(...rs.map(r => r.p99)), fail: rs.reduce((a, r) => a + r.fail, 0), cpuUs: 0, st: 0 }
  }
  const W: Record<string, Record<string, () => Promise<any>>> = {
    rows: { loop: () => run(c, 16, (c) => loop(c, rnd())), ours: () => run(c, 16, (c) => ours(c, rnd())) },
    hot: { loop: () => run(c, 16, (c) => loop(c, 1001)), ours: () => run(c, 16, (c) => ours(c, 1001)) },
    procs: { loop: () => procs('loop'), ours: () => procs('ours') },
    insert: { upsert: () => run(c, 16, (c) => upsert(c, `t${tx++}`)), p2002: () => run(c, 16, (c) => p2002(c, `t${tx++}`)), ours: () => run(c, 16, (c) => once(c, `t${tx++}`)) },
  }
  const med = (xs: number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]
  for (const name of (process.env.W ?? 'rows,hot,procs,insert').split(',')) {
    const all: Record<string, any[]> = {}
    const only = process.env.ONLY?.split(',')
    const names = Object.keys(W[name]).filter(k => !only || only.includes(k))
    if (name !== 'procs') for (const k of names) await W[name][k]()  // warm
    for (let r = 0; r < ROUNDS; r++) for (const k of names.sort(() => Math.random() - .5)) (all[k] ??= []).push(await W[name][k]())
    for (const k of Object.keys(W[name])) if (all[k]) console.log(name, k, Object.fromEntries(['tps', 'p50', 'p99', 'fail', 'cpuUs', 'st'].map(f => [f, +med(all[k].map(r => r[f])).toFixed(2)])))
    if (all.ours) for (const k of Object.keys(all)) if (k !== 'ours') console.log(name, 'ratio to', k, med(all.ours.map((r, i) => r.tps / all[k][i].tps)).toFixed(2), 'p99 ratio', med(all.ours.map((r, i) => all[k][i].p99 / r.p99)).toFixed(1))
  }
  const { rows } = await c.pool.query(`SELECT count(*) n, sum(stock - version) d FROM "Product"`)
  console.log('audit', rows[0])
  await c.base.$disconnect(); await database.drop(); await server.stop()
}
