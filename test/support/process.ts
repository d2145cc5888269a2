import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, renameSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import { onTestFinished } from 'vitest'

/** In the project, so that a bundle finds the packages, and the project's own. */
const BUNDLES = fileURLToPath(new URL('../../generated/processes', import.meta.url))
const PATIENCE = fileURLToPath(new URL('patient-process.ts', import.meta.url))
const bundled = new Map<string, string>()
/** Programs that read files which lie beside their sources: a bundle would not find those. */
const READ_FILES: ReadonlySet<string> = new Set(['erp-worker.ts'])

/** Runs a file of test/support as a process of its own: sends it its work, resolves to its answer. */
export function runInProcess<Answer>(file: string, work: object): Promise<Answer> {
  return startProcess(file, work).answer<Answer>()
}

/** Starts a file of test/support as a process of its own. If it still runs when the test is over, it is killed. */
export function startProcess(file: string, work: object) {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = READ_FILES.has(basename(file)) ? fork(path, { execArgv: ['--import', 'tsx'] }) : fork(bundleOf(path))
  const exited = once(child, 'exit')
  const messaged = once(child, 'message')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  child.send(work)
  return {
    /** The first message that it sends. */
    async answer<Answer>(): Promise<Answer> {
      const message = await Promise.race([messaged, exited.then(() => undefined)])
      if (message === undefined) throw new Error(`${file} ended without an answer.`)
      return message[0] as Answer
    },
    /** Ends it at once, without a chance to tidy up. */
    kill: () => void child.kill('SIGKILL'),
    /** Asks it to end. */
    end: () => void child.kill('SIGTERM'),
    /** Stops it where it is, as a debugger or a paused machine would. */
    stop: () => void child.kill('SIGSTOP'),
  }
}

/** The file with the package in one, which starts in a third of the time: four processes at a time start with nothing to do. */
export function bundleOf(path: string): string {
  const known = bundled.get(path)
  if (known !== undefined) return known
  const made = join(BUNDLES, `${basename(path, '.ts')}.mjs`)
  const own = `${made}.${process.pid}`
  mkdirSync(BUNDLES, { recursive: true })
  buildSync({
    entryPoints: [path],
    inject: [PATIENCE],
    outfile: own,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
  })
  renameSync(own, made) // another test may be making the same
  bundled.set(path, made)
  return made
}
