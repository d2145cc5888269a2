/**
 * Where the client's CPU of a call goes, ours and by hand: whose code runs, how many statements it sends, and what so many
 * empty ones cost on node-postgres alone, which nobody can be below.
 *
 *   npm run bench:profile -- --call transactionWithRetry
 */
import { Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startServer } from '../../test/support/server.js'
import { Databases, onDatabase } from '../runner/databases.js'
import { countStatements, statementCounts } from '../runner/statements.js'
import { openByHand } from './by-hand.js'
import { CELLS, type Cell, type Side } from './cells.js'
import { fill } from './fill.js'
import { openOurs } from './ours.js'
import { runCell } from './run-cell.js'
import { shares } from './shares.js'

const { values } = parseArgs({
  options: {
    call: { type: 'string', default: 'transactionWithRetry' },
    callers: { type: 'string' },
    ms: { type: 'string', default: '3000' },
    rounds: { type: 'string', default: '3' },
    functions: { type: 'string', default: '0' },
  },
})
const ms = Number(values.ms)
const rounds = Number(values.rounds)
const WARM_UP = 3_000
const root = fileURLToPath(new URL('../..', import.meta.url))
const { call: wanted } = values

/** One side's cost of a call, in µs where nothing else is said. */
interface Cost {
  readonly cpu: number
  readonly perSecond: number
  readonly statements: number
  /** Of 1, by whose code it is. */
  readonly owners: ReadonlyMap<string, number>
  readonly functions: ReadonlyMap<string, number>
}

countStatements()
const server = await startServer({ durable: true })
try {
  await onDatabase(server.url, async (admin) => {
    const databases = new Databases(server.url, admin)
    const urls = [await urlOf(databases), await urlOf(databases)] as const
    const sides = [await openOurs(urls[0], root), openByHand(urls[1])] as const
    const cells = CELLS.filter(
      ({ name, processes, callers }) =>
        processes === 1 &&
        name.includes(wanted) &&
        (values.callers === undefined || callers === Number(values.callers)),
    )
    for (const cell of cells) await profile(cell, sides, urls[0])
    for (const side of sides) await side.close()
    await databases.dropAll()
  })
} finally {
  await server.stop()
}

async function urlOf(databases: Databases): Promise<string> {
  return (await databases.create({ id: 'pairs', fill }, false)).url
}

async function profile(cell: Cell, sides: readonly [Side, Side], url: string): Promise<void> {
  for (const side of sides) await runCell(cell, side, WARM_UP)
  const costs: [Cost[], Cost[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const [k, side] of sides.entries()) costs[k]?.push(await costOf(cell, side))
  }
  const [ours, byHand] = [mean(costs[0]), mean(costs[1])]
  console.log(`${cell.name}, ${cell.callers} ${cell.callers === 1 ? 'caller' : 'callers'}`)
  const line = (title: string, of: (cost: Cost) => number, digits = 0) =>
    console.log(`  ${title.padEnd(34)}${[ours, byHand].map((cost) => of(cost).toFixed(digits).padStart(9)).join('')}`)
  console.log(`  ${''.padEnd(34)}${'ours'.padStart(9)}${'by hand'.padStart(9)}`)
  line('calls per second', ({ perSecond }) => perSecond)
  line('statements', ({ statements }) => statements, 1)
  line('client CPU per call, µs', ({ cpu }) => cpu)
  for (const owner of ours.owners.keys()) line(`  ${owner}`, ({ cpu, owners }) => cpu * (owners.get(owner) ?? 0))
  const floors = [await floorOf(url, ours.statements), await floorOf(url, byHand.statements)]
  console.log(
    `  ${'floor: so many empty ones on pg'.padEnd(34)}${floors.map((cpu) => cpu.toFixed(0).padStart(9)).join('')}\n`,
  )
  const top = [...ours.functions].sort(([, one], [, other]) => other - one).slice(0, Number(values.functions))
  for (const [name, share] of top) console.log(`  ${(ours.cpu * share).toFixed(1).padStart(7)} ${name}`)
}

async function costOf(cell: Cell, side: Side): Promise<Cost> {
  const before = statementCounts().statements
  const { done, cpu, perSecond } = await runCell(cell, side, ms)
  const statements = (statementCounts().statements - before) / done
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 200 })
  await session.post('Profiler.start')
  await runCell(cell, side, ms)
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  return { cpu, perSecond, statements, ...shares(profile, root) }
}

/** The CPU of so many prepared statements without work, one after the other, in µs. */
async function floorOf(url: string, statements: number): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const many = async (count: number) => {
    const cpu = process.cpuUsage()
    for (let i = 0; i < count; i++) await client.query({ name: 'empty', text: 'SELECT $1::int', values: [1] })
    const { user, system } = process.cpuUsage(cpu)
    return (user + system) / count
  }
  await many(3_000)
  const one = await many(5_000)
  await client.end()
  return one * statements
}

function mean(costs: readonly Cost[]): Cost {
  const of = (value: (cost: Cost) => number) => costs.reduce((sum, cost) => sum + value(cost), 0) / costs.length
  const means = (maps: readonly ReadonlyMap<string, number>[]) => {
    const sums = new Map<string, number>()
    for (const map of maps) for (const [key, value] of map) sums.set(key, (sums.get(key) ?? 0) + value / maps.length)
    return sums
  }
  return {
    cpu: of(({ cpu }) => cpu),
    perSecond: of(({ perSecond }) => perSecond),
    statements: of(({ statements }) => statements),
    owners: means(costs.map(({ owners }) => owners)),
    functions: means(costs.map(({ functions }) => functions)),
  }
}
