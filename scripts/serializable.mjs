// Runs tests in databases whose default is SERIALIZABLE: npm run test:serializable, those that tell most in half a minute;
// with --all those of every engine, and with files those.
import { spawnSync } from 'node:child_process'

const CORE = ['idempotency', 'partitions', 'series', 'stock', 'transactions']
/** Their transactions have the default, and wait for others in ways that READ COMMITTED has alone: nothing else fails in them. */
const OF_READ_COMMITTED = [
  'after-commit',
  'lock-token',
  'locking',
  'series-parallel',
  'stock-close',
  'stock-lots-races',
  'stock-prune',
]
const fileOf = (name) => `test/engines/${name}.test.ts`
const given = process.argv.slice(2)
const all = ['test/engines', ...OF_READ_COMMITTED.flatMap((name) => ['--exclude', fileOf(name)])]
const files = given.length === 0 ? CORE.map(fileOf) : given[0] === '--all' ? all : given
const { status } = spawnSync('npx', ['vitest', 'run', ...files], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: { ...process.env, TEST_ISOLATION: 'serializable' },
})
process.exit(status ?? 1)
