/**
 * Writes the tables of docs/benchmarks.md and of the README, between their markers, from a result of the bench:
 *
 *     tsx bench/report/readme.ts bench/results/full-20261124.json
 */
import { readFile, writeFile } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Family } from '../contender.js'
import type { BenchResult, PauseTestResult } from '../result.js'
import { digits } from './number.js'
import { readResult } from './read-result.js'
import { brokenRounds, headlines, isWrong, lossesOf, type Taker, takersOf, wrongs } from './reading.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BEGIN = '<!-- bench -->'
const END = '<!-- /bench -->'

/** The text between the markers of a page; undefined if there are none. */
export function benchSection(page: string): string | undefined {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  return begin < 0 || end < begin ? undefined : page.slice(begin + BEGIN.length, end).trim()
}

/** @throws Error if the page has no markers */
export function withBenchSection(page: string, section: string): string {
  if (benchSection(page) === undefined) throw new Error(`The page has no ${BEGIN} and ${END} to write between.`)
  return `${page.slice(0, page.indexOf(BEGIN) + BEGIN.length)}\n${section}\n${page.slice(page.indexOf(END))}`
}

/** The README's table: every line of the long one, and of each only what is compared. */
export function shortSectionOf(result: BenchResult): string {
  const { date, machine, server, method } = result
  const rows = compared(result).map(
    ({ workload, own, base }) =>
      `| ${workload.title} | ${digits(own.throughput.median)} | ${digits(base.throughput.median)} | ${timesOf(own.ratio)} |`,
  )
  const { lost, seconds } = stoppedHolders(result)
  const names = lost.map(({ contender }) => `\`${contender}\``).join(', ')
  const stop = ` Updates were lost, when the holder was stopped for ${seconds} s right before its write, with ${names}.`
  return `| calls per second | this library | by hand on Prisma | ratio |
|---|--:|--:|--:|
${rows.join('\n')}

${lossesOf(result)} Medians of ${method.rounds} rounds on ${date.slice(0, 10)}, ${machine.cores} cores, ${server.version}.${names && stop}`
}

/** @param file where the result is, as seen from the root */
export function sectionOf(result: BenchResult, file: string): string {
  const { date, machine, server, method, form } = result
  const rows = compared(result).map(rowOf)
  return `| calls per second | ours | by hand on Prisma | ratio | p99, ms | by hand | with pg alone | the fastest lock, or queue |
|---|--:|--:|--:|--:|--:|--:|--:|
${rows.join('\n')}

${lossesOf(result)}

${pauseTestOf(result)}Medians of ${method.rounds} rounds; the ratio is taken within each round. By hand, and of the locks and queues, it is the fastest one whose
data was right; with pg alone the decision is a condition in SQL, where it can be said so. Measured on ${date.slice(0, 10)} with the ${form} form on ${machine.cpu} (${machine.cores} cores, ${machine.memoryGigabytes} GB,
${machine.system}, Node ${machine.node}), ${server.version}, fsync ${server.settings.fsync}. All figures: [${file}](https://github.com/prisma-extension-concurrency/prisma-extension-concurrency/blob/main/${file}). Run it
yourself: \`npm run bench\`.`
}

/** The holders that were stopped right before they wrote: which of them overwrote what others had written. */
function stoppedHolders({ pauseTest }: BenchResult) {
  const stopped = pauseTest.filter(({ moment }) => moment === 'writing')
  const measured = stopped.filter(({ error }) => error === undefined)
  return {
    rounds: measured[0]?.rounds,
    seconds: Math.round((measured[0]?.stoppedMilliseconds ?? 0) / 1_000),
    lost: measured.filter((result) => result.corrupted > 0),
    right: measured.filter((result) => result.corrupted === 0),
    unknown: stopped.filter(({ error }) => error !== undefined),
  }
}

function pauseTestOf(result: BenchResult): string {
  const { rounds, seconds, lost, right, unknown } = stoppedHolders(result)
  if (rounds === undefined) return ''
  const code = (results: readonly PauseTestResult[], text: (result: PauseTestResult) => string) =>
    results.map((result) => `\`${result.contender}\`${text(result)}`).join(', ')
  return `Then the holder is stopped right before its write, for ${seconds} s, longer than any lease, in ${rounds} sections at
once, and goes on. Updates lost by it: ${code(lost, (result) => ` ${result.corrupted}`) || 'none'}. None lost: ${code(right, () => '') || 'nobody'}.${
    unknown.length === 0 ? '' : ` Not measured: ${code(unknown, () => '')}.`
  }

`
}

/** The workloads in which there is one of ours, and something to compare it with. */
function compared(result: BenchResult) {
  return headlines(result).flatMap((workload) => {
    const takers = takersOf(result, workload)
    const fastest = (family: Family) =>
      takers.find(({ contender, cell }) => contender.family === family && cell.summary !== undefined && !isWrong(cell))
    const [ours, byHand] = [fastest('ours'), takers.find(({ isBaseline }) => isBaseline)]
    const [own, base] = [ours?.cell.summary, byHand?.cell.summary]
    return own?.ratio && base
      ? [{ workload, ours, byHand, own, base, pg: fastest('pg'), other: fastest('lock') ?? fastest('queue') }]
      : []
  })
}

function rowOf({ workload, ours, byHand, own, base, pg, other }: ReturnType<typeof compared>[number]): string {
  return `| ${[
    workload.title,
    named(ours),
    named(byHand),
    timesOf(own.ratio),
    own.p99Milliseconds ? digits(own.p99Milliseconds.median) : '–',
    base.p99Milliseconds ? digits(base.p99Milliseconds.median) : '–',
    named(pg),
    named(other),
  ].join(' | ')} |`
}

const timesOf = (ratio: { readonly median: number } | undefined) => (ratio ? `${digits(ratio.median)}×` : '–')

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
  const [file] = process.argv.slice(2)
  if (file === undefined) {
    console.error('tsx bench/report/readme.ts RESULT.json')
    process.exit(2)
  }
  const result = await readResult(file)
  const write = async (page: string, section: string) =>
    writeFile(page, withBenchSection(await readFile(page, 'utf8'), section))
  await write(`${ROOT}docs/benchmarks.md`, sectionOf(result, relative(ROOT, resolve(file)).split(sep).join('/')))
  await write(`${ROOT}README.md`, shortSectionOf(result))
}
