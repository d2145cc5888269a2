/**
 * Writes the short table of the README, between its markers, from a result of the bench:
 *
 *     tsx bench/report/readme.ts bench/results/full-20261124.json [README.md]
 */
import { readFile, writeFile } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Family } from '../contender.js'
import type { BenchResult, PainResult, WorkloadResult } from '../result.js'
import { digits } from './number.js'
import { readResult } from './read-result.js'
import { brokenRounds, headlines, isWrong, type Taker, takersOf, wrongs } from './reading.js'

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
  return `| calls per second | ours | by hand on Prisma | ratio | p99, ms | by hand | with pg alone | the fastest lock |
|---|--:|--:|--:|--:|--:|--:|--:|
${rows.join('\n')}

${painOf(result)}Medians of ${method.rounds} rounds; the ratio is taken within each round. By hand, and of the locks, it is the fastest one whose
data was right; with pg alone the decision is a condition in SQL, where it can be said so. Measured on ${date.slice(0, 10)} with the ${form} form on ${machine.cpu} (${machine.cores} cores, ${machine.memoryGigabytes} GB,
${machine.system}, Node ${machine.node}), ${server.version}, fsync ${server.settings.fsync}. All figures: [${file}](https://github.com/prisma-extension-concurrency/prisma-extension-concurrency/blob/main/${file}). Run it
yourself: \`npm run bench\`.`
}

/** Who overwrote what others had written while it was stopped, and who did not. */
function painOf({ pain }: BenchResult): string {
  const measured = pain.filter(({ moment, error }) => moment === 'writing' && error === undefined)
  const [first] = measured
  if (first === undefined) return ''
  const code = (results: readonly PainResult[], text: (result: PainResult) => string) =>
    results.map((result) => `\`${result.contender}\`${text(result)}`).join(', ')
  const corrupted = measured.filter((result) => result.corrupted > 0)
  const right = measured.filter((result) => result.corrupted === 0)
  const unknown = pain.filter(({ moment, error }) => moment === 'writing' && error !== undefined)
  return `Then the holder is stopped right before its write, for ${Math.round(first.stoppedMilliseconds / 1_000)} s, longer than any lease, in ${first.rounds} sections at
once, and goes on. Updates lost by it: ${code(corrupted, (result) => ` ${result.corrupted}`) || 'none'}. None lost: ${code(right, () => '') || 'nobody'}.${
    unknown.length === 0 ? '' : ` Not measured: ${code(unknown, () => '')}.`
  }

`
}

/** Undefined if there is nothing of ours, or nothing to compare it with. */
function rowOf(result: BenchResult, workload: WorkloadResult): string | undefined {
  const takers = takersOf(result, workload)
  const fastest = (family: Family) =>
    takers.find(({ contender, cell }) => contender.family === family && cell.summary !== undefined && !isWrong(cell))
  const [ours, byHand] = [fastest('ours'), takers.find(({ isBaseline }) => isBaseline)]
  const [own, base] = [ours?.cell.summary, byHand?.cell.summary]
  if (!own?.ratio || !base) return undefined
  return `| ${[
    workload.title,
    named(ours),
    named(byHand),
    `${digits(own.ratio.median)}×`,
    own.p99Milliseconds ? digits(own.p99Milliseconds.median) : '–',
    base.p99Milliseconds ? digits(base.p99Milliseconds.median) : '–',
    named(fastest('pg')),
    named(fastest('lock')),
  ].join(' | ')} |`
}

/** How many per second, who, and what the figure must not be shown without. */
function named(taker: Taker | undefined): string {
  if (taker?.cell.summary === undefined) return '–'
  const { contender, cell } = taker
  const { throughput, failures } = taker.cell.summary
  const notes = [
    wrongs(cell.audit),
    failures > 0 ? `${failures.toLocaleString('en')} failed` : '',
    brokenRounds(cell) ?? '',
  ].filter((note) => note !== '')
  const name = contender.id.slice(contender.id.indexOf('/') + 1)
  return `${digits(throughput.median)} \`${name}\`${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`
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
