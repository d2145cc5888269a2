import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

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
export async function bundleWorker(sabotage?: Sabotage) {
  const name = sabotage ? sabotage.name.replaceAll(/\W+/g, '-') : 'worker'
  const outfile = join(ROOT, 'node_modules', '.cache', 'faults', `${name}-${process.pid}.mjs`)
  let isBroken = sabotage === undefined
  await build({
    entryPoints: [join(ROOT, 'test', 'faults', 'campaign', 'worker.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
    plugins: sabotage
      ? [
          {
            name: 'sabotage',
            setup(build) {
              build.onLoad({ filter: new RegExp(`src/${sabotage.file}$`) }, async ({ path }) => {
                const text = await readFile(path, 'utf8')
                const parts = text.split(sabotage.from)
                if (parts.length !== 2)
                  throw new Error(
                    `${sabotage.file} has '${sabotage.from}' ${parts.length - 1} times: give sabotages.ts its present text`,
                  )
                isBroken = true
                return { contents: parts.join(sabotage.to), loader: 'ts' }
              })
            },
          },
        ]
      : [],
  })
  if (!isBroken) throw new Error(`${sabotage?.file} is no part of the build`)
  return { file: outfile, remove: () => rm(outfile, { force: true }) }
}
