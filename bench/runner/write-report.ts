/** Makes the HTML report of a result, if the packages that draw it are there. */
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isInstalled } from './contenders.js'

const REPORT = fileURLToPath(new URL('../report.html', import.meta.url))
// Not named as a module, since the root's types are checked without the packages that it imports.
const MAKE = new URL('../report/make.ts', import.meta.url)
const PACKAGES = ['@observablehq/plot', 'linkedom']

/**
 * @param file the result
 * @param output where the result was asked to go, if it was: then the report lies beside it
 * @returns what became of it, in words: the figures are kept even if nothing can be drawn
 */
export async function writeReport(file: string, output: string | undefined): Promise<string> {
  const missing = PACKAGES.filter((name) => !isInstalled(name))
  if (missing.length > 0) return `no report, for want of ${missing.join(' and ')}; see bench/setup.sh`
  const report = output === undefined ? REPORT : `${file.replace(/\.json$/, '')}.html`
  try {
    const { makeReport } = (await import(MAKE.href)) as { makeReport(file: string, report: string): Promise<void> }
    await makeReport(file, report)
    return relative(process.cwd(), report)
  } catch (error) {
    return `no report: ${(error as Error).message}`
  }
}
