import { InvalidArgumentError } from '../errors/index.js'
import type { Span } from './due.js'

/** Five fields, six with seconds, or a name: croner takes moments and years as well, after which there is no next one. */
const FORM = /^(?:@[a-z]+|\S+(?: +\S+){4,5})$/i

/**
 * The periods of a cron expression: each lasts from one of its times to the next one. They are found by croner, which is
 * loaded by the first of them: no other program needs it.
 *
 * @throws InvalidArgumentError if it is none
 */
export async function cronPeriods(pattern: string, timeZone: string): Promise<(moment: number) => Span> {
  const croner = await import('croner')
  if (!FORM.test(pattern)) throw wrong('must be a cron expression of five fields, or six with seconds: 0 3 * * *.')
  const cron = made(() => new croner.Cron(pattern, { timezone: timeZone, paused: true }))
  return (moment) => {
    // croner looks for what is before, in whole seconds, and here that moment itself counts.
    const [last] = cron.previousRuns(1, new Date((Math.floor(moment / 1_000) + 1) * 1_000))
    for (let start = last; start; ) {
      const next = cron.nextRun(start)
      if (next === null) break
      if (next.getTime() > moment) return { start: start.getTime(), end: next.getTime() }
      start = next // where the clock is changed, it may not find the same times backwards
    }
    throw wrong('has no times.')
  }
}

function made<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw wrong(`is no cron expression: ${error instanceof Error ? error.message : error}`, error)
  }
}

const wrong = (message: string, cause?: unknown) =>
  new InvalidArgumentError('cron', message, cause === undefined ? {} : { cause })
