/**
 * Writes what is kept in the repository of a result of the bench: all but the figures of each round, whose medians, and
 * lowest and highest values, stay. The report and the tables of the docs need no more.
 *
 *     tsx bench/report/summary.ts bench/results/full-20261130.json bench/results/full-20261130.summary.json
 */
import { writeFile } from 'node:fs/promises'
import { readResult } from './read-result.js'

const [file, output] = process.argv.slice(2)
if (file === undefined || output === undefined) {
  console.error('tsx bench/report/summary.ts RESULT.json SUMMARY.json')
  process.exit(2)
}
const result = await readResult(file)
const cells = result.cells.map((cell) => ({
  ...cell,
  rounds: cell.rounds.map(({ figures: _, audit: __, ...round }) => round),
}))
await writeFile(output, `${JSON.stringify({ ...result, cells })}\n`)
