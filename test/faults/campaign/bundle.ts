import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type PluginBuild } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

/** A text of a file of `src`, and the text that takes its place: a build that is broken on purpose. */
export interface Sabotage {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
}

/**
 * The worker with the package in one file, which starts in a third of the time. It is beside the packages, so
 * that it finds them.
 */
export async function bundleWorker(sabotages: readonly Sabotage[] = []) {
  const name = sabotages[0]?.name.replaceAll(/\W+/g, '-') ?? 'worker'
  const outfile = join(ROOT, 'node_modules', '.cache', 'faults', `${name}-${process.pid}.mjs`)
  const files = new Set(sabotages.map(({ file }) => file))
  await build({
    entryPoints: [join(ROOT, 'test', 'faults', 'campaign', 'worker.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
    plugins: Array.from(files, (file) => ({
      name: file,
      setup: (build: PluginBuild) =>
        build.onLoad({ filter: new RegExp(`src/${file}$`) }, async ({ path }) => {
          const own = sabotages.filter((sabotage) => sabotage.file === file)
          files.delete(file)
          return { contents: own.reduce(broken, await readFile(path, 'utf8')), loader: 'ts' }
        }),
    })),
  })
  if (files.size > 0) throw new Error(`${[...files]} are no part of the build`)
  return { file: outfile, remove: () => rm(outfile, { force: true }) }
}

function broken(text: string, { file, from, to }: Sabotage): string {
  const parts = text.split(from)
  if (parts.length === 2) return parts.join(to)
  throw new Error(`${file} has '${from}' ${parts.length - 1} times: give sabotages.ts its present text`)
}
