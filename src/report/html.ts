import type { ContentionSnapshot, OperationContention } from '../events/contention.js'
import { type Advice, placeOf } from './advice.js'
import { hotChart, waitChart } from './charts.js'
import { escaped, percent, rounded } from './format.js'

const GUIDE = 'https://github.com/prisma-extension-concurrency/prisma-extension-concurrency/blob/main/docs/guide/'

const STYLE = `:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1a; --soft: #5f5e58; --line: #dcdbd5; --bar: #2a6fbb; --hot: #c2410c }
@media (prefers-color-scheme: dark) { :root { --paper: #1a1a18; --ink: #ecebe6; --soft: #a3a29a; --line: #3a3a36; --bar: #7db2ec; --hot: #f28b52 } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 3rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
h1 { line-height: 1.2 } .soft { color: var(--soft) } a { color: var(--bar) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14px } th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } code, h3 { overflow-wrap: anywhere }
figure { margin: 0; overflow-x: auto } svg { background: none } article { border-left: 3px solid var(--hot); padding-left: 1rem; margin: 1.5rem 0 } article.no { border-color: var(--bar) }`

/** One page without scripts. It may load nothing, and tells the browser so. */
export function htmlOf(snapshot: ContentionSnapshot, advice: readonly Advice[]): string {
  const { operations, hot } = snapshot
  const [since, until] = [escaped(snapshot.since), escaped(snapshot.until)]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Where calls meet: prisma-extension-concurrency</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Where calls meet</h1>
<p class="soft">One process, from <time datetime="${since}">${since}</time> to <time datetime="${until}">${until}</time>.</p>
<section id="locks"><h2>Do I need a lock here?</h2>
${advice.length === 0 ? '<p>No call has met another one: no lock is needed.</p>' : advice.map(articleOf).join('\n')}
</section>
<section id="hot"><h2>The hottest rows and keys</h2>
${hot.length === 0 ? '<p>None.</p>' : `<figure>${hotChart(hot)}</figure>`}
</section>
<section id="waits"><h2>Waits</h2>
${operations.some(({ waits }) => Object.keys(waits).length > 0) ? `<figure>${waitChart(operations)}</figure>` : '<p>No call has waited for a millisecond.</p>'}
</section>
<section id="methods"><h2>Methods</h2>
${tableOf(operations)}
</section>
</body>
</html>
`
}

function articleOf({ where, now, answer, instead, reason, page }: Advice): string {
  const other =
    instead === '' ? '' : `<p>Costs less: <a href="${GUIDE}${page}" rel="noreferrer">${escaped(instead)}</a>.</p>`
  return `<article class="${answer === 'no lock' ? 'no' : 'yes'}"><h3><code>${escaped(where)}</code></h3>
<p>Now: ${escaped(now)}.</p><p><strong>${escaped(answer)}</strong>, since ${escaped(reason)}.</p>${other}</article>`
}

function tableOf(operations: readonly OperationContention[]): string {
  const columns = [
    'Method',
    'Calls',
    'Failures',
    'Conflicts',
    'Retries',
    'Deadlocks',
    'Replays',
    'Refusals',
    'Deadlines',
    'Unknown',
    'Batches of',
  ]
  const rows = operations.map((own) => {
    const { calls, failures, conflictRate, retries, deadlocks, replays, refusals, deadlines, unknown, batches } = own
    const size = batches === undefined ? '–' : rounded(batches.total / Math.max(1, batches.count))
    const cells = [
      calls,
      failures,
      percent(conflictRate),
      retries,
      deadlocks,
      replays,
      refusals,
      deadlines,
      unknown,
      size,
    ]
    return `<tr><td>${escaped(placeOf(own))}</td>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`
  })
  return `<div class="scroll" role="region" tabindex="0" aria-label="Methods"><table><thead><tr>${columns.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`
}
