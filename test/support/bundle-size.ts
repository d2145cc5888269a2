import { relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/**
 * A file and all that it imports but Prisma, minified and gzipped, in bytes. A file that is loaded by `import()`, when a
 * call needs it, is not counted: a program that makes no such call does not load it.
 */
export async function bundleSize(path: string): Promise<number> {
  const { metafile, outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    splitting: true,
    format: 'esm',
    minify: true,
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['@prisma/client/*'],
    outdir: 'out',
    metafile: true,
    write: false,
  })
  const contents = new Map(outputFiles.map((file) => [relative('', file.path), file.contents]))
  const loaded = new Set<string>()
  const load = (file: string) => {
    if (loaded.has(file)) return
    loaded.add(file)
    for (const { path: imported, kind, external } of metafile.outputs[file]?.imports ?? []) {
      if (kind === 'import-statement' && !external) load(imported)
    }
  }
  const entry = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint?.endsWith(relative('', path)))
  load(entry?.[0] ?? '')
  return gzipSync(Buffer.concat(Array.from(loaded, (file) => contents.get(file) ?? new Uint8Array()))).length
}
