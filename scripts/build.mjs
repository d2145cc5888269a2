// Builds dist of the folder it is started in: the declarations by tsc, and the code by esbuild in a few files, since
// each module that Node loads costs as much as a statement: 190 of them cost 45 ms at each start of a program, and six 6.
import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
await build({
  entryPoints: ['index', 'erp', 'pg', 'testing', 'otel', 'report', 'cli/main'].map((name) => `src/${name}.ts`),
  outdir: 'dist',
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
})
chmodSync('dist/cli/main.js', 0o755)
