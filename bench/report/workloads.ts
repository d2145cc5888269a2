/** The workloads: those of a curve together, first the curve, then each with its plots and its table. */
import type { BenchResult, WorkloadResult } from '../result.js'
import { growth } from './charts/growth.js'
import { cost, latency, throughput } from './charts/measures.js'
import { type Measure, panel } from './charts/panel.js'
import { type Html, html } from './html.js'
import { plural } from './number.js'
import { contenderOf, type Group, groupsOf, headlines, type Taker, takersOf } from './reading.js'
import { workloadTable } from './table.js'

const PANELS: readonly (readonly [title: string, measure: Measure])[] = [
  ['How many', throughput],
  ['How long', latency],
  ['At what cost', cost],
]

export function workloadSections(result: BenchResult): Html[] {
  return groupsOf(result).map((group) => section(result, group))
}

function section(result: BenchResult, group: Group): Html {
  const [only] = group.workloads
  if (group.workloads.length === 1 && only !== undefined) {
    return html`<section id="${group.id}"><h2>${only.title}</h2>${body(result, only)}</section>`
  }
  const open = headlines(result)
  const throughputs = growth(result, group, { title: 'calls per second', value: throughput.value })
  const latencies = growth(result, group, { title: 'p99 in ms', value: latency.value })
  return html`<section id="${group.id}"><h2>${group.title}</h2>
${throughputs && html`<h3>How it grows</h3>${throughputs}`}
${latencies && html`<details><summary>How the waiting grows: p99</summary>${latencies}</details>`}
${group.workloads.map(
  (workload) => html`<details class="point" id="${workload.id}"${open.includes(workload) ? html` open` : undefined}>
<summary><h3>${workload.title}</h3></summary>
${body(result, workload)}</details>`,
)}</section>`
}

function body(result: BenchResult, workload: WorkloadResult): Html {
  const takers = takersOf(result, workload)
  const { processes, callers, poolSize } = workload
  const shape = [
    plural(processes, 'process', 'processes'),
    `${plural(callers, 'caller')}${processes > 1 ? ' each' : ''}`,
    `a pool of ${plural(poolSize, 'connection')}${processes > 1 ? ' each' : ''}`,
  ].join(', ')
  return html`<p>${workload.about} <span class="shape">${shape}${
    workload.baseline === undefined
      ? undefined
      : html`; the baseline is ${contenderOf(result, workload.baseline).title}, the fastest by hand on Prisma that was right`
  }.</span></p>
<div class="panels">${PANELS.map(
    ([title, measure]) => html`<figure data-plot="${workload.id}"><figcaption>${title}</figcaption>
${panel(takers, measure, labelOf(workload, measure, takers))}</figure>`,
  )}</div>
${workloadTable(result, workload)}`
}

function labelOf({ title }: WorkloadResult, measure: Measure, takers: readonly Taker[]): string {
  const said = takers.map((taker) => `${taker.contender.title} ${measure.text(taker)}`)
  return `${title}, ${measure.title}: ${said.join('; ')}`
}
