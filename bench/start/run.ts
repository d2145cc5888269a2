/**
 * The cost of a start: importing the package, extending a client of 300 models, and the size of each
 * entry. Each round is a fresh process per line, one after the other; medians are shown. Fails if a limit
 * is exceeded.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleSize } from '../../test/support/bundle-size.js'
import type { Spread } from '../result.js'
import { spreadOf } from '../runner/summary.js'
import { generateClient } from './models.js'

const MODELS = 300
const ROUNDS = Number(process.env.ROUNDS ?? 15)
/** In ms, and for a bundle in bytes. */
const LIMITS = { core: 40, first: 25, bundle: 60_000 }
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PROCESS = fileURLToPath(new URL('process.mjs', import.meta.url))
const entry = (name: string) => join(ROOT, 'dist', `${name}.js`)
const module = (path: string) => join(ROOT, 'node_modules', path)

interface Cost {
  readonly time: number
  readonly cpu: number
}
type Costs = Readonly<Record<string, Cost>>

const folder = mkdtempSync(join(tmpdir(), 'concurrency-start-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) process.on(signal, () => process.exit(code))
const client = await generateClient(folder, MODELS)
const adapter = module('@prisma/adapter-pg/dist/index.mjs')
const pg = module('pg/esm/index.mjs')

/** The modules of each line, and the line that it is compared with. */
const IMPORTS: Readonly<Record<string, { readonly modules: readonly string[]; readonly beyond?: string }>> = {
  prisma: { modules: [client] },
  core: { modules: [client, entry('index')], beyond: 'prisma' },
  'core and erp': { modules: [client, entry('index'), entry('erp')], beyond: 'prisma' },
  'node-postgres': { modules: [pg] },
  '/pg': { modules: [pg, entry('pg')], beyond: 'node-postgres' },
}

const rounds = Array.from({ length: ROUNDS }, () => ({
  ...Object.fromEntries(
    Object.entries(IMPORTS).map(([name, { modules }]) => [name, run('import', modules).importing as Cost]),
  ),
  ...run('extend', [client, adapter, entry('index'), entry('erp')]),
})) as readonly Costs[]

console.log(
  `Medians of ${ROUNDS} rounds, each in fresh processes, in ms (lowest to highest), and ms of CPU, which\nsays more where other work loads the machine.\n`,
)
for (const [name, { beyond }] of Object.entries(IMPORTS)) {
  console.log(
    `import ${name}: ${shown(name)}${beyond === undefined ? '' : `; more than ${beyond}: ${shown(name, beyond)}`}`,
  )
}
const EXTENDING = {
  client: 'new PrismaClient()',
  empty: '$extends({})',
  first: '$extends(concurrency()), the first time',
  again: '$extends(concurrency()), then',
  erp: '$extends of concurrency, stock, serials and series, then',
}
for (const [name, title] of Object.entries(EXTENDING)) {
  console.log(`${MODELS} models, ${title}: ${shown(name)}`)
}
const bundles = new Map<string, number>()
for (const name of ['index', 'erp', 'pg']) bundles.set(name, await bundleSize(entry(name)))
for (const [name, size] of bundles) console.log(`${name}.js, minified and gzipped: ${size.toLocaleString('en')} bytes`)

const exceeded = [
  spread('time', 'core', 'prisma').median > LIMITS.core ? 'the import of the core' : [],
  spread('time', 'first').median > LIMITS.first ? '$extends(concurrency())' : [],
  Math.max(...bundles.values()) > LIMITS.bundle ? 'a bundle' : [],
].flat()
if (exceeded.length > 0) console.log(`\nOver the limit: ${exceeded.join(', ')} (${JSON.stringify(LIMITS)}).`)
process.exitCode = exceeded.length === 0 ? 0 : 1

function run(mode: 'import' | 'extend', modules: readonly string[]): Costs {
  const { stdout, stderr, status } = spawnSync(process.execPath, [PROCESS, mode, ...modules], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

/** The cost of a line in each round; with another name, how much more than that one. */
function spread(kind: keyof Cost, name: string, beyond?: string): Spread {
  return spreadOf(rounds.map((costs) => (costs[name]?.[kind] ?? 0) - (beyond ? (costs[beyond]?.[kind] ?? 0) : 0)))
}

function shown(name: string, beyond?: string): string {
  const { median, low, high } = spread('time', name, beyond)
  return `${median.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)}), CPU ${spread('cpu', name, beyond).median.toFixed(1)}`
}
