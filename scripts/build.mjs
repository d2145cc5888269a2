// Builds dist of the folder it is started in: the declarations by tsc, and the code by esbuild in a few files, since
// each module that Node loads costs as much as a statement: 190 of them cost 45 ms at each start of a program, and six 6.
import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
const options = {
  outdir: 'dist',
  outbase: 'src',
  // The common code of the entries is there once: an error of one is an instance of the class of the other.
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  packages: 'external',
  platform: 'neutral',
  format: 'esm',
  target: 'es2023',
  sourcemap: true,
  sourcesContent: false,
}
/**
 * Files that are loaded by `import()`, in three sets, each of which is loaded as one. Were each of them an entry of its own,
 * esbuild would make a file of all that each combination of them has in common, and the core would be loaded from 33
 * files instead of 12: 29 ms of CPU instead of 17.
 */
const LATER = {
  // Nearly every program loads it, and by its first call: the others need not come with it.
  catalogue: ['sql/tables-sql'],
  calls: [
    'engine/setup',
    'errors/read-only',
    'events/contention',
    'idempotency/on-shards',
    'idempotency/once-per',
    'idempotency/operation',
    'idempotency/prune',
    'inbox/handle',
    'inbox/prune',
    'jobs/calls',
    'leases/assert',
    'leases/hold',
    'locking/advisory',
    'locking/row-locks',
    'mapping/feature',
    'mapping/members',
    'outbox/calls',
    'prisma/model-error',
    'replicas/position',
    'replicas/read-after',
    'sql/missing-key',
    'sql/scope',
    'sql/shards',
    'serials/other-calls',
    'serials/pick',
    'serials/release',
    'series/block-allocator',
    'series/document-creator',
    'series/free-numbers',
    'series/number-methods',
    'series/store',
    'steps/run',
    'stock/fold-counted',
    'stock/period',
    'stock/period-sql',
    'stock/close',
    'stock/prune',
    'stock/read-reservations',
    'stock/line-data',
    'stock/numbering',
    'stock/methods-for',
    'transactions/after-commit',
    'transactions/fenced',
    'stock/fenced',
    'transitions/transition',
    'versioning/update-many',
  ],
  tools: [
    'doctor/check',
    'prisma/migration',
    // These need the following anyway: listed, it is in the file that the entries share, and not in one of its own.
    'engine/setup',
    'events/events',
    'prisma/print-migration',
    'retry/read-again',
    'sql/column-value',
    'sql/given-columns',
    'sql/json-text',
    'sql/key-text',
    'sql/raw-record',
    'sql/refusal',
    'sync/batcher',
    'transactions/conflict-turn',
    'transactions/deadlocks',
    'transactions/fence',
    'transactions/method',
    'transactions/serialize',
    'values/sha256',
  ],
}
const loadedTogether = {
  name: 'loaded together',
  setup({ onLoad, onResolve }) {
    const src = join(process.cwd(), 'src')
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      if (kind !== 'dynamic-import') return
      const file = relative(src, join(resolveDir, path)).replaceAll(sep, '/').replace(/\.js$/, '')
      const [set] = Object.entries(LATER).find(([, files]) => files.includes(file)) ?? []
      return set === undefined ? undefined : { path: set, namespace: 'later' }
    })
    onLoad({ filter: /./, namespace: 'later' }, ({ path }) => ({
      contents: LATER[path].map((file) => `export * from './${file}.js'`).join('\n'),
      resolveDir: src,
    }))
  },
}
await build({
  ...options,
  plugins: [loadedTogether],
  entryPoints: ['index', 'erp', 'work', 'pg', 'testing', 'otel', 'report'].map((name) => `src/${name}.ts`),
})
// Apart, with code of its own: the entries that programs import would be loaded from more files.
await build({ ...options, entryPoints: ['src/cli/main.ts'], chunkNames: 'cli/chunks/[name]-[hash]' })
chmodSync('dist/cli/main.js', 0o755)
