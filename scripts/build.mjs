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
await build({
  ...options,
  entryPoints: ['index', 'erp', 'pg', 'testing', 'otel', 'report'].map((name) => `src/${name}.ts`),
})
// Apart, with code of its own: esbuild makes a file of all that each set of entries has in common, and the entries that
// programs import would be loaded from nine files instead of seven.
await build({ ...options, entryPoints: ['src/cli/main.ts'], chunkNames: 'cli/chunks/[name]-[hash]' })
chmodSync('dist/cli/main.js', 0o755)
