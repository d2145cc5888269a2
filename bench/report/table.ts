/** All figures of a workload as a table, which scrolls inside itself where the screen is narrow. */
import type { BenchResult, Spread, Summary, WorkloadResult } from '../result.js'
import { FAMILIES } from './families.js'
import { type Content, type Html, html } from './html.js'
import { count, digits, range } from './number.js'
import { brokenRounds, errorOf, isWrong, missingIn, type Taker, takersOf, wrongs } from './reading.js'

interface Column {
  readonly title: string
  readonly cell: (summary: Summary, taker: Taker) => Content
}

interface Columns {
  readonly title: string
  readonly columns: readonly Column[]
}

const median = (spread: Spread | null | undefined) => (spread ? digits(spread.median) : '–')
const audited = (what: keyof Taker['cell']['audit']): Column => ({
  title: what,
  cell: (_, { cell }) => {
    const number = cell.audit[what]
    return number === 0 ? '0' : html`<strong class="wrong">${count(number)}</strong>`
  },
})

const GROUPS: readonly Columns[] = [
  {
    title: 'Calls per second',
    columns: [
      { title: 'median', cell: ({ throughput }) => html`<strong>${digits(throughput.median)}</strong>` },
      { title: 'lowest–highest', cell: ({ throughput }) => range(throughput) },
      { title: '× baseline', cell: ({ ratio }) => (ratio ? html`${digits(ratio.median)}×` : '–') },
      { title: 'lowest–highest', cell: ({ ratio }) => (ratio ? range(ratio) : '–') },
    ],
  },
  {
    title: 'Latency, ms',
    columns: [
      { title: 'p50', cell: ({ p50Milliseconds }) => median(p50Milliseconds) },
      { title: 'p99', cell: ({ p99Milliseconds }) => median(p99Milliseconds) },
    ],
  },
  {
    title: 'Calls in all',
    columns: [
      { title: 'answered', cell: ({ operations }) => count(operations) },
      { title: 'refused', cell: ({ refused }) => count(refused) },
      { title: 'failed', cell: ({ failures }) => count(failures) },
    ],
  },
  {
    title: 'Per call',
    columns: [
      { title: 'retries', cell: ({ retries }) => median(retries) },
      { title: 'statements', cell: ({ statements }) => median(statements) },
      { title: 'transactions', cell: ({ transactions }) => median(transactions) },
      { title: 'database CPU, ms', cell: ({ databaseCpuMilliseconds }) => median(databaseCpuMilliseconds) },
      { title: 'client CPU, ms', cell: ({ clientCpuMilliseconds }) => median(clientCpuMilliseconds) },
      { title: 'lock server CPU, ms', cell: ({ lockServerCpuMilliseconds }) => median(lockServerCpuMilliseconds) },
    ],
  },
  {
    title: 'Connections',
    columns: [
      { title: 'at most', cell: ({ peakConnections }) => median(peakConnections) },
      { title: 'waiting, s per s', cell: ({ waitingConnections }) => median(waitingConnections) },
      {
        title: 'idle in transaction, s per s',
        cell: ({ idleInTransactionConnections }) => median(idleInTransactionConnections),
      },
    ],
  },
  { title: 'Audit', columns: [audited('lost'), audited('doubled'), audited('negative'), audited('inconsistent')] },
]
const WIDTH = GROUPS.reduce((sum, { columns }) => sum + columns.length, 0)

export function workloadTable(result: BenchResult, workload: WorkloadResult): Html {
  const takers = takersOf(result, workload)
  const missing = missingIn(result, workload)
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${workload.title}, all figures">
<table data-workload="${workload.id}">
<thead>
<tr><th scope="col" rowspan="2">Contender</th>${GROUPS.map(
    ({ title, columns }) => html`<th scope="colgroup" colspan="${columns.length}">${title}</th>`,
  )}</tr>
<tr>${GROUPS.map(({ columns }) => columns.map(({ title }, index) => html`<th scope="col"${first(index)}>${title}</th>`))}</tr>
</thead>
<tbody>
${takers.map(row)}
</tbody>
</table>
</div>
${
  missing.length > 0
    ? html`<p class="note">Missing: ${missing.map(({ title }) => title).join('; ')}. <a href="#contenders">Why</a></p>`
    : undefined
}
${whatFailed(takers)}`
}

function row(taker: Taker): Html {
  const { contender, cell, isBaseline } = taker
  const { summary } = cell
  const name = html`<th scope="row"><i style="background:${FAMILIES[contender.family].colour}"></i>${contender.title}${
    isBaseline ? html` <small>baseline</small>` : undefined
  }${broken(cell)}${isWrong(cell) ? html` <small class="wrong">✕ ${wrongs(cell.audit)}</small>` : undefined}</th>`
  const cells =
    summary === undefined
      ? html`<td class="text" colspan="${WIDTH}">broke down: ${errorOf(cell) ?? 'was not run'}</td>`
      : GROUPS.map(({ columns }) =>
          columns.map((column, index) => html`<td${first(index)}>${column.cell(summary, taker)}</td>`),
        )
  return html`<tr${contender.family === 'ours' ? html` class="ours"` : undefined}>${name}${cells}</tr>
`
}

function broken(cell: Taker['cell']): Html | undefined {
  const note = brokenRounds(cell)
  return note === undefined || cell.summary === undefined ? undefined : html` <small class="wrong">${note}</small>`
}

function first(index: number): Html | undefined {
  return index === 0 ? html` class="first"` : undefined
}

/** The errors of failed calls, and the reasons why runs broke off. */
function whatFailed(takers: readonly Taker[]): Html | undefined {
  const lines = takers.flatMap(({ contender, cell }) => {
    const counts = new Map<string, number>()
    for (const { failures, error } of cell.rounds) {
      for (const { message, count: times } of failures) counts.set(message, (counts.get(message) ?? 0) + times)
      if (error !== undefined && cell.summary !== undefined) {
        const text = `A round broke down: ${error}`
        counts.set(text, (counts.get(text) ?? 0) + 1)
      }
    }
    return Array.from(
      counts,
      ([message, times]) => html`<li><b>${contender.title}</b>, ${count(times)} ×: ${message}</li>`,
    )
  })
  if (lines.length === 0) return undefined
  return html`<details class="failures"><summary>What the failed calls were told</summary><ul>${lines}</ul></details>`
}
