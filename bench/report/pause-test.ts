/** The contenders whose holder was stopped in the middle: which have corrupted data, and which have not. */
import type { BenchResult, PauseTestResult } from '../result.js'
import { FAMILIES } from './families.js'
import { type Html, html } from './html.js'
import { count, digits } from './number.js'
import { contenderOf } from './reading.js'

const MOMENTS: Readonly<Record<PauseTestResult['moment'], string>> = {
  thinking: 'while it thinks',
  writing: 'right before it writes',
}

export function pauseTestSection(result: BenchResult): Html {
  const { pauseTest } = result
  const stopped = Math.max(0, ...pauseTest.map(({ stoppedMilliseconds }) => stoppedMilliseconds))
  return html`<section id="pause-test"><h2>The pause test: a holder that stops, and goes on</h2>
<p>A process is stopped (SIGSTOP) in the middle of its critical sections${
    stopped > 0 ? html`, for ${digits(stopped / 1_000)} s` : undefined
  }, longer than any lease, as a long garbage collection, a swapping machine or a moved virtual machine does. Another
process does the same work meanwhile. Then the first goes on, and believes that it has the lock.</p>
${pauseTest.length === 0 ? html`<p class="empty">Not measured in this form: <code>npm run bench:full</code> does.</p>` : table(result)}
</section>`
}

/** Those who have corrupted something first; the two moments of a contender together. */
function table(result: BenchResult): Html {
  const corrupted = (id: string) =>
    Math.max(...result.pauseTest.filter(({ contender }) => contender === id).map((own) => own.corrupted))
  const rows = [...result.pauseTest].sort(
    (a, b) => corrupted(b.contender) - corrupted(a.contender) || a.contender.localeCompare(b.contender),
  )
  return html`<div class="scroll" role="region" tabindex="0" aria-label="The pause test, all figures">
<table data-pause-test>
<thead><tr><th scope="col">Contender</th><th scope="col" class="text">stopped</th><th scope="col" class="text">verdict</th>
<th scope="col">corrupted</th><th scope="col">sections stopped</th><th scope="col">told in time</th>
<th scope="col">told too late</th><th scope="col">others waited, s</th><th scope="col">others failed</th>
<th scope="col" class="text">what it was told</th><th scope="col" class="text">what the others were told</th></tr></thead>
<tbody>
${rows.map((holder) => row(result, holder))}</tbody>
</table></div>
<p class="note">Corrupted: updates that were lost, since somebody wrote who had not read the latest. Told in time: sections
that ended in an exception before they could do harm. Others waited: the longest that a caller of the other process took.</p>`
}

function row(result: BenchResult, holder: PauseTestResult): Html {
  const { title, family } = contenderOf(result, holder.contender)
  const head = html`<th scope="row"><i style="background:${FAMILIES[family].colour}"></i>${title}</th><td class="text">${MOMENTS[holder.moment]}</td>`
  const cells =
    holder.error === undefined
      ? html`<td class="text">${
          holder.corrupted > 0
            ? html`<strong class="wrong">✕ corrupted data</strong>`
            : html`<span class="right">✓ did no harm</span>`
        }</td><td>${count(holder.corrupted)}</td><td>${count(holder.rounds)}</td><td>${count(holder.refusedLateWrites)}</td>
<td>${count(holder.toldTooLate)}</td><td>${digits(holder.othersWaitedMilliseconds / 1_000)}</td><td>${count(holder.othersFailed)}</td>
<td class="text long">${holder.told.join(' · ')}</td><td class="text long">${holder.othersTold.join(' · ')}</td>`
      : html`<td class="text" colspan="9">could not be measured: ${holder.error}</td>`
  return html`<tr${family === 'ours' ? html` class="ours"` : undefined}>${head}${cells}</tr>
`
}
