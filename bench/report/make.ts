/**
 * Makes the report out of a result of the bench: one HTML file that needs nothing else.
 *
 *     tsx bench/report/make.ts bench/results/full-20261124.json [report.html]
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { page } from './page.js'
import { readResult } from './read-result.js'

export const REPORT = fileURLToPath(new URL('../report.html', import.meta.url))
const STYLE = new URL('style.css', import.meta.url)

/** @param output where it goes; without it, to `bench/report.html` */
export async function makeReport(file: string, output = REPORT): Promise<void> {
  const result = await readResult(file)
  const json = relative(dirname(resolve(output)), resolve(file))
    .split(sep)
    .join('/')
  // The page goes elsewhere with its folder, or alone: a way up out of it would lead nowhere.
  const text = page(result, await readFile(STYLE, 'utf8'), json.startsWith('..') ? '' : json)
  await writeFile(output, text.replace(/[ \t]+$/gm, ''))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, output] = process.argv.slice(2)
  if (file === undefined) {
    console.error('tsx bench/report/make.ts RESULT.json [REPORT.html]')
    process.exit(2)
  }
  await makeReport(file, output)
}
