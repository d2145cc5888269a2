import type { ContentionSnapshot, OperationContention } from '../events/contention.js'
import { type Advice, adviceFor, placeOf } from './advice.js'
import { percent, rounded } from './format.js'

export type ReportFormat = 'text' | 'json' | 'html'

/**
 * Makes a report of a snapshot of `$contention()`: where calls meet, what that costs, and for each hot spot whether a
 * lock is needed there, with the page of the guide and the reason. As `html` it is one page that loads nothing; its charts
 * are drawn by `@observablehq/plot` and `linkedom`, which have to be installed.
 *
 * @throws Error for `html` without the two packages
 *
 * @example
 * const page = await contentionReport(await db.$contention(), 'html')
 */
export async function contentionReport(snapshot: ContentionSnapshot, format: ReportFormat): Promise<string> {
  const advice = adviceFor(snapshot)
  if (format === 'json') return JSON.stringify({ ...snapshot, advice }, null, 2)
  if (format === 'text') return textOf(snapshot, advice)
  const { htmlOf } = await import('./html.js').catch((error: unknown) => {
    throw new Error('The HTML report draws its charts with @observablehq/plot and linkedom: install both.', {
      cause: error,
    })
  })
  return htmlOf(snapshot, advice)
}

function textOf({ since, until, operations }: ContentionSnapshot, advice: readonly Advice[]): string {
  const lines = advice.map(({ where, now, answer, instead, reason, page }) =>
    [
      where,
      `  now: ${now}`,
      `  do I need a lock here? ${answer}${instead === '' ? '' : `: ${instead}`}`,
      `  since ${reason} (${page})`,
    ].join('\n'),
  )
  return [
    `Contention from ${since} to ${until}`,
    operations.length === 0 ? 'No calls were made.' : operations.map(lineOf).join('\n'),
    lines.length === 0 ? 'No call has met another one.' : lines.join('\n\n'),
  ].join('\n\n')
}

function lineOf(own: OperationContention): string {
  const { calls, conflictRate, retries, waits } = own
  const waited = Object.entries(waits).map(
    ([kind, { p50, p99 }]) => `${kind} p50 ${rounded(p50)} p99 ${rounded(p99)} ms`,
  )
  const parts = [`${calls} calls`, `${percent(conflictRate)} conflicts`, `${retries} retries`, ...waited]
  return `${placeOf(own)}: ${parts.join(', ')}`
}
