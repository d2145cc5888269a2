/** The whole report as one page without scripts. It may load nothing, and tells the browser so. */
import type { BenchResult } from '../result.js'
import { contendersSection, methodSection } from './about.js'
import { key } from './charts/key.js'
import { overview } from './charts/overview.js'
import { growthSection } from './growth.js'
import { Html, html } from './html.js'
import { measured, plural } from './number.js'
import { pauseTestSection } from './pause-test.js'
import { groupsOf, lossesOf } from './reading.js'
import { workloadSections } from './workloads.js'

/**
 * @param style the style sheet
 * @param json where the result is, as seen from the report; empty if it is not known
 */
export function page(result: BenchResult, style: string, json: string): string {
  const { machine, server, method, date, form } = result
  const day = new Date(date).toLocaleDateString('en-GB', { dateStyle: 'long', timeZone: 'UTC' })
  const missing = result.contenders.filter((contender) => contender.missing !== undefined).length
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>What each way really costs: prisma-extension-concurrency</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>
<p class="over">prisma-extension-concurrency, the bench</p>
<h1>What each way really costs</h1>
<p class="lead">Every way of getting concurrent writes right, beside every other, on the same work, in one run.
${plural(result.contenders.length - missing, 'contender')} took part${missing > 0 ? html`, ${missing} ${missing === 1 ? 'is' : 'are'} <a href="#contenders">missing</a>` : undefined}.</p>
<dl class="facts">
<div><dt>Date</dt><dd><time datetime="${date}">${day}</time></dd></div>
<div><dt>Machine</dt><dd>${machine.cpu}, ${plural(machine.cores, 'core')}, ${machine.memoryGigabytes} GB</dd></div>
<div><dt>Server</dt><dd>${server.version}, fsync ${server.settings.fsync ?? 'unknown'}</dd></div>
<div><dt>Form</dt><dd>${form}, ${plural(method.rounds, 'round')}, ${measured(method)}</dd></div>
</dl>
${result.isComplete ? undefined : html`<p class="warning">This run was ended before its time: some figures rest on fewer rounds, or are not there.</p>`}
<nav aria-label="Sections"><ul>${[
    ['overview', 'Overview'],
    ...groupsOf(result).map(({ id, title }) => [id, title]),
    ...(result.growth ? [['growth', 'How this library grows']] : []),
    ['pause-test', 'The pause test'],
    ['contenders', 'The contenders'],
    ['method', 'Method and machine'],
    ['yourself', 'Run it yourself'],
  ].map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
</header>
<main>
<section id="overview"><h2>Overview</h2>
<p>Calls per second, as a multiple of the fastest right way by hand on Prisma, within each round. Further right is faster; the figure at the right is the fastest of ours. First stand the workloads of one caller. ${lossesOf(result)}</p>
${key(result)}
<figure data-plot="overview">${overview(result, 'wide') ?? html`<p class="empty">There is no baseline in this run to compare with.</p>`}${overview(result, 'narrow')}</figure>
</section>
${workloadSections(result)}
${growthSection(result)}
${pauseTestSection(result)}
${contendersSection(result)}
${methodSection(result, json)}
</main>
<footer><p>Made by <code>bench/report/make.ts</code> from ${json === '' ? 'a result of the bench' : html`<a href="${json}">the run's JSON</a>`}.</p></footer>
</body>
</html>
`
  return text
}
