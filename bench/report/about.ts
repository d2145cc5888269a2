/** The contenders, the method and the machine, and how to measure it oneself. */
import type { BenchResult, ContenderResult } from '../result.js'
import { FAMILIES } from './families.js'
import { type Html, html } from './html.js'
import { digits, measured, plural } from './number.js'

export function contendersSection({ contenders }: BenchResult): Html {
  return html`<section id="contenders"><h2>The contenders</h2>
<p>Each is written as its best users write it: same pool, same isolation unless it needs another, same durability. What
had to be chosen, and where it is told to be written so:</p>
<div class="scroll" role="region" tabindex="0" aria-label="The contenders"><table class="words">
<thead><tr><th scope="col">Contender</th><th scope="col" class="text">Took part</th><th scope="col" class="text">Choices</th><th scope="col" class="text">Source</th></tr></thead>
<tbody>${contenders.map(
    (contender) => html`<tr${contender.missing === undefined ? undefined : html` class="missing"`}>
<th scope="row"><i style="background:${FAMILIES[contender.family].colour}"></i>${contender.title}</th>
<td class="text">${contender.missing === undefined ? 'yes' : `missing: ${contender.missing}`}</td>
<td class="text long">${contender.choices}</td><td class="text">${source(contender)}</td></tr>
`,
  )}</tbody></table></div></section>`
}

function source({ source: text }: ContenderResult): Html {
  return /^https?:/.test(text)
    ? html`<a href="${text}" rel="noreferrer">${new URL(text).hostname}</a>`
    : html`<code>${text}</code>`
}

export function methodSection(result: BenchResult, json: string): Html {
  const { machine, server, method } = result
  return html`<section id="method"><h2>How it was measured</h2>
<p>Each contender works in a process of its own (in several, where the workload says so), on a pool of the same size,
against one PostgreSQL${server.isEmbedded ? ', started for this with its settings as shipped but for the number of connections and the locale C' : undefined}. Each run has a
fresh copy of a filled database, and is measured for ${measured(method)}, as long as fits the time, after a warm-up of a
third of that, and longer for processes that are new to the work; Prisma’s clients are kept from run to run. Calls go on before and after, so that there are always
as many under way as there are callers; those that end after the window still count for the latencies and the failures. Where fewer calls
are answered in the window than there are callers, it is longer. Then comes an audit of what is in the database;
behind a call that failed after it had written, a lost update could hide. With fewer than a hundred answers in a run, p99 is
the longest; calls that failed are in neither p50 nor p99. In each of ${plural(method.rounds, 'round')} every contender is measured once
per workload, in random order (seed ${String(method.seed)}). The baseline is the fastest contender by hand on Prisma whose data was
right. The callers of a process make their next call as soon as the last one is answered, many of them in the same moment:
whoever does together what is asked for in the same moment, as this library does, gains most by that, and with one caller
nothing. What is shown is the median over the rounds, with the lowest
and the highest; ratios are taken within a round, so that a slow minute of the machine slows both. Statements are
counted on the contender's own connections and those of its lock service, CPU time is that of its processes, of
PostgreSQL's, and of its lock server's, and connections are looked at in <code>pg_stat_activity</code> every 20 ms. “Waiting, s per s” are connection-seconds per second in which a
connection was held only to wait for a lock.</p>
<h3>The machine</h3>
${facts([
  ['Processor', machine.cpu],
  ['Cores', String(machine.cores)],
  ['Memory', `${machine.memoryGigabytes} GB`],
  ['System', machine.system],
  ['Node', machine.node],
  ['Load at the start', String(machine.load)],
])}
<h3>The server</h3>
${facts([['Version', server.version], ...Object.entries(server.settings)])}
<h3>The packages</h3>
${facts(Object.entries(method.packages))}
</section>
<section id="yourself"><h2>Run it yourself</h2>
<pre tabindex="0"><code>npm ci
npm run bench        # under 5 minutes; nothing but PostgreSQL, which it brings
bench/setup.sh       # once, for all the others: packages, and, as root on Debian, the lock servers
npm run bench:full   # under 40 minutes</code></pre>
<p>Both write a JSON file to <code>bench/results</code> and this report${
    json === ''
      ? undefined
      : html`. These figures are in <a href="${json}">${json.slice(json.lastIndexOf('/') + 1)}</a>`
  }. The run took ${digits(result.seconds / 60)} minutes. Figures of another machine are others; the ratios should be near.</p>
</section>`
}

function facts(pairs: readonly (readonly [string, string])[]): Html {
  return html`<dl class="facts">${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}
