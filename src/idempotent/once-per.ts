import { InvalidArgumentError, isConcurrencyError } from '../errors.js'
import type { PrismaClientLike } from '../prisma/client.js'
import type { Body } from '../transaction/with-retry.js'
import type { KeyStore } from './key-store.js'
import type { OperationCall, Operations } from './operation.js'

/** A name of the period, such as `2026-11-24`, or a length of time, counted from 1970-01-01 UTC. */
export type Period = string | { readonly every: string | number }

export type OncePerResult<R> =
  | { readonly ran: true; readonly result: R }
  /** When it ran, or `undefined` if it is running right now. */
  | { readonly ran: false; readonly since: Date | undefined }

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** Runs the job's body once per period: who comes second is told so at once. */
export async function oncePer<R>(
  operations: Operations,
  client: PrismaClientLike,
  store: KeyStore,
  job: string,
  period: Period,
  options: Pick<OperationCall, 'transaction' | 'answerLimit'>,
  body: Body<R>,
): Promise<OncePerResult<R>> {
  const { deadline } = options.transaction
  const key =
    typeof period === 'string'
      ? period
      : await deadline.race(currentPeriod(client, secondsOf(period.every)), 'the database')
  const call: OperationCall = {
    ...options,
    scope: `once per: ${job}`,
    key,
    request: undefined,
    whileRunning: 'refuse',
    keepsAnswer: false, // nobody is given it a second time
  }
  try {
    const outcome = await operations.run(client, store, call, body)
    return outcome.replayed ? { ran: false, since: outcome.since } : { ran: true, result: outcome.result }
  } catch (error) {
    // The body may have asked for other operations, and met one that runs.
    const isOwn =
      isConcurrencyError(error, 'IDEMPOTENCY_IN_PROGRESS') && error.scope === call.scope && error.key === key
    if (isOwn) return { ran: false, since: undefined }
    throw error
  }
}

/** The period's start by the database's clock, the only one that all machines share. */
async function currentPeriod(client: PrismaClientLike, seconds: number): Promise<string> {
  const [row] = (await client.$queryRawUnsafe(
    `SELECT to_char(
  date_bin(make_interval(secs => $1::float8), now(), timestamptz '1970-01-01 00:00:00+00') AT TIME ZONE 'UTC',
  'YYYY-MM-DD"T"HH24:MI:SS"Z"'
) AS start`,
    seconds,
  )) as [{ start: string }]
  return `${row.start}/${seconds}s`
}

function secondsOf(every: string | number): number {
  const text = typeof every === 'number' ? `${every / 1_000}s` : every
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const seconds = Number(amount) * (UNITS[unit] ?? Number.NaN)
  // The database counts in microseconds.
  if (seconds > 0 && Number.isInteger(seconds) && Number.isSafeInteger(seconds * 1_000_000)) return seconds
  throw new InvalidArgumentError(
    'period.every',
    "must be whole seconds, at most 285 years: a number of ms, or a text such as '90s', '15m', '1h' or '1d'.",
  )
}
