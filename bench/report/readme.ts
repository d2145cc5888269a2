/**
 * Writes the short table of the README, between its markers, from a result of the bench:
 *
 *     tsx bench/report/readme.ts bench/results/full-20261124.json [README.md]
 */
import { readFile, writeFile } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchResult, Cell, WorkloadResult } from '../result.js'
import { digits } from './number.js'
import { readResult } from './read-result.js'
import { contenderOf, headlines, takersOf, wrongs } from './reading.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BEGIN = '<!-- bench -->'
const END = '<!-- /bench -->'

/** What stands between the markers; undefined if there are none. */
export function benchSection(readme: string): string | undefined {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  return begin < 0 || end < begin ? undefined : readme.slice(begin + BEGIN.length, end).trim()
}

/**
 * @param file where the result is, as seen from the README
 * @throws Error if the README has no markers
 */
export function withBenchSection(readme: string, result: BenchResult, file: string): string {
  if (benchSection(readme) === undefined) throw new Error(`The README has no ${BEGIN} and ${END} to write between.`)
  const before = readme.slice(0, readme.indexOf(BEGIN) + BEGIN.length)
  return `${before}\n${sectionOf(result, file)}\n${readme.slice(readme.indexOf(END))}`
}

/** @param file where the result is, as seen from the README */
export function sectionOf(result: BenchResult, file: string): string {
  const { date, machine, server, method, form } = result
  const rows = headlines(result).flatMap((workload) => rowOf(result, workload) ?? [])
  return `| work | ours, per s | by hand, per s | ratio | p99 ms, ours | p99 ms, by hand |
|---|--:|--:|--:|--:|--:|
${rows.join('\n')}

Median of ${method.rounds} rounds; the ratio is taken within each round. Measured on ${date.slice(0, 10)} with the ${form} form on
${machine.cpu} (${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.system}, Node ${machine.node}), ${server.version},
fsync ${server.settings.fsync}. All figures: [${file}](${file}). Run it yourself: \`npm run bench\`.`
}

/** The fastest of ours by the baseline; undefined if one of them has no figures. */
function rowOf(result: BenchResult, workload: WorkloadResult): string | undefined {
  const takers = takersOf(result, workload)
  const ours = takers.find(({ contender }) => contender.family === 'ours')
  const baseline = takers.find(({ isBaseline }) => isBaseline)
  const [own, base] = [ours?.cell.summary, baseline?.cell.summary]
  if (!ours || !baseline || !own || !base || !own.ratio) return undefined
  const { title } = contenderOf(result, workload.baseline)
  const work = `${workload.title}: \`${ours.contender.title}\` and ${title}`
  return `| ${[
    work,
    digits(own.throughput.median) + noted(ours.cell),
    digits(base.throughput.median) + noted(baseline.cell),
    `${digits(own.ratio.median)}×`,
    digits(own.p99Milliseconds.median),
    digits(base.p99Milliseconds.median),
  ].join(' | ')} |`
}

/** What a figure must not be shown without. */
function noted({ audit, summary }: Cell): string {
  const failures = summary?.failures ?? 0
  const notes = [wrongs(audit), failures > 0 ? `${failures.toLocaleString('en')} failed` : ''].filter(
    (note) => note !== '',
  )
  return notes.length === 0 ? '' : ` (${notes.join(', ')})`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, readme = `${ROOT}README.md`] = process.argv.slice(2)
  if (file === undefined) {
    console.error('tsx bench/report/readme.ts RESULT.json [README.md]')
    process.exit(2)
  }
  const path = relative(ROOT, resolve(file)).split(sep).join('/')
  await writeFile(readme, withBenchSection(await readFile(readme, 'utf8'), await readResult(file), path))
}
