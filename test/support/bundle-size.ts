import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** A file and all that it imports but Prisma, minified and gzipped, in bytes. */
export async function bundleSize(path: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    minify: true,
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['@prisma/client/*'],
    write: false,
  })
  return gzipSync(outputFiles[0]?.contents ?? '').length
}
