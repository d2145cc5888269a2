import type { Counter, Histogram, Meter, ObservableGauge } from '@opentelemetry/api'

/** Everything that is measured. */
export interface Instruments {
  readonly conflicts: Counter
  readonly attempts: Histogram
  readonly waits: Histogram
  readonly batches: Histogram
  readonly heldDuration: Histogram
  readonly replays: Counter
  readonly refusals: Counter
  readonly unknown: Counter
  readonly queueDepth: ObservableGauge
}

const COUNTS = [1, 2, 3, 4, 5, 7, 10]
const SIZES = [2, 5, 10, 20, 50, 100, 200, 500, 1_000]
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Durations are in seconds, as the semantic conventions want it. */
export function instrumentsOf(meter: Meter): Instruments {
  const buckets = (explicitBucketBoundaries: number[]) => ({ advice: { explicitBucketBoundaries } })
  return {
    conflicts: meter.createCounter('concurrency.conflicts', {
      unit: '{conflict}',
      description: 'Conflicts of versions, serialization failures and deadlocks',
    }),
    attempts: meter.createHistogram('concurrency.attempts', {
      unit: '{attempt}',
      description: 'Attempts of a call',
      ...buckets(COUNTS),
    }),
    waits: meter.createHistogram('concurrency.wait.duration', {
      unit: 's',
      description:
        'Waits of a millisecond and more: for the queue of the process, a connection, a row, an advisory lock',
      ...buckets(SECONDS),
    }),
    batches: meter.createHistogram('concurrency.batch.size', {
      unit: '{call}',
      description: 'Calls that were sent as one',
      ...buckets(SIZES),
    }),
    heldDuration: meter.createHistogram('concurrency.lock.held.duration', {
      unit: 's',
      description: 'How long $withAdvisoryLock held its lock',
      ...buckets(SECONDS),
    }),
    replays: meter.createCounter('concurrency.replays', {
      unit: '{call}',
      description: 'Calls that had been carried out before',
    }),
    refusals: meter.createCounter('concurrency.refusals', {
      unit: '{call}',
      description: 'Calls that were refused, by the code of their error',
    }),
    unknown: meter.createCounter('concurrency.outcomes.unknown', {
      unit: '{call}',
      description: 'Calls of which nobody knows whether they took effect',
    }),
    queueDepth: meter.createObservableGauge('concurrency.queue.depth', {
      unit: '{call}',
      description: 'Calls that wait in the queues of the process',
    }),
  }
}
