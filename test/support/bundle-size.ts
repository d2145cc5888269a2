import { gzipSync } from 'node:zlib'
import { build, type Plugin } from 'esbuild'

/**
 * A file and all that it imports but Prisma, minified and gzipped, in bytes. A file that is loaded by `import()`, when a
 * call needs it, is not counted: a program that makes no such call does not load it.
 */
export async function bundleSize(path: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    format: 'esm',
    minify: true,
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['@prisma/client/*'],
    plugins: [loadedLater],
    write: false,
  })
  return gzipSync(outputFiles[0]?.contents ?? '').length
}

const loadedLater: Plugin = {
  name: 'loaded later',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path }) => (kind === 'dynamic-import' ? { path, external: true } : undefined))
  },
}
