import { hostname } from 'node:os'
import { isConcurrencyError } from '../../errors/index.js'
import { secondsOf } from '../../idempotency/period.js'
import type { JobOptions, JobResult, RunningJob } from '../../jobs/types.js'
import { connect } from '../../pg/connect.js'
import { leases } from '../../pg/features.js'
import { jobs } from '../../pg/jobs.js'
import { readModels } from '../../pg/models.js'
import { LONGEST_TIMER } from '../../retry/policy.js'
import { type CommandModule, type ExitCode, type Output, UsageError } from '../command.js'
import { readConfig } from '../config.js'
import { type DatabaseOptions, databaseOptions, databaseUrl, openPool } from '../database.js'
import { Child } from '../once/child.js'
import { Signals } from '../once/signals.js'

interface OnceOptions extends DatabaseOptions {
  readonly job?: string
  readonly every?: string
  readonly atLeast?: string
  readonly cron?: string
  readonly timeZone?: string
  readonly offset?: string
  readonly catchUp?: boolean
  readonly retryAfter?: string
  readonly wait?: string | true
  readonly skip?: boolean
  readonly ttl: string
  readonly grace: string
  readonly config?: string
}

/** EX_TEMPFAIL of sysexits.h: try again later. */
const RUNNING_ELSEWHERE = 75
const LEASE_LOST = 76

/** One for heartbeats, beside one for all else. */
const CONNECTIONS = 2

export const once: CommandModule<OnceOptions> = {
  describe: (command) =>
    databaseOptions(command)
      .argument('<command...>', 'the command and its arguments, after --')
      .requiredOption('--job <name>', 'the name of the job, which all machines know it by')
      .option('--every <length>', 'runs it once in each period of 15m, 1h, 1d, …')
      .option('--at-least <length>', 'runs it when its last success is so long ago: 23h')
      .option('--cron <expression>', "runs it once from each of its times to the next: '0 3 * * *'")
      .option('--time-zone <zone>', 'of the periods, such as Europe/Vienna; default: UTC')
      .option('--offset <length>', 'how much later each period begins: 2h')
      .option('--catch-up', 'runs it for periods that were missed, too, one with each call')
      .option('--retry-after <length>', 'does not try it again so soon after it has failed')
      .option('--wait [length]', 'waits while it runs elsewhere; default: as long as it takes')
      .option('--skip', 'where it runs elsewhere, the exit code is 0')
      .option('--ttl <length>', 'how long the others wait when this machine is gone', '30s')
      .option('--grace <length>', 'how long the command may take to end when its lease is lost', '10s')
      .option('--config <file>', 'default: concurrency.config.json, .js, .mjs or .ts')
      .addHelpText(
        'after',
        `
Exit codes: that of the command; 0 also if it is not due; ${RUNNING_ELSEWHERE} if it runs elsewhere; ${LEASE_LOST} if
its lease was lost, and the command was ended.

Example: prisma-extension-concurrency once --job report --every 1d -- node report.js`,
      ),

  async run(options, args, output) {
    const { job = '', wait, skip = false } = options
    if (wait !== undefined && skip) throw new UsageError('--wait and --skip are two ways: choose one')
    const grace = msOf(options.grace, '--grace')
    const { leases: ofLeases, jobs: ofJobs, concurrency } = await readConfig(options.config)
    const pool = await openPool(await databaseUrl(options), CONNECTIONS)
    const signals = new Signals()
    try {
      const client = await connect(pool, concurrency ?? {}, readModels)
      const db = client
        .$extends(leases(ofLeases))
        .$extends(jobs({ startedBy: `${hostname()} ${process.pid}`, ...ofJobs }))
      const outcome = await db.$job(job, { ...timesOf(options), signal: signals.aborted }, (run) =>
        runCommand(run, args, { signals, grace }),
      )
      return answer(job, outcome, skip, output)
    } catch (error) {
      if (error instanceof CommandFailed) return error.exitCode
      if (signals.received !== undefined && error === signals.aborted.reason) return signals.exitCode
      if (!isConcurrencyError(error, 'LEASE_LOST')) throw error
      output.note(`${job}: the lease was lost (${error.reason}): the command was ended, or its end is not noted.`)
      return LEASE_LOST
    } finally {
      signals.close()
      await pool.end()
    }
  },
}

/** The options of `$job`, which checks the lengths and the expression. */
function timesOf({ every, atLeast, cron, timeZone, offset, catchUp, retryAfter, ttl, wait }: OnceOptions): JobOptions {
  const patience = wait === undefined ? 0 : wait === true ? LONGEST_TIMER : msOf(wait, '--wait')
  const common = { retryAfter, ttl: msOf(ttl, '--ttl'), wait: patience }
  const periods = { ...common, timeZone, missed: catchUp ? ('catchUp' as const) : undefined }
  if ([every, atLeast, cron].filter((given) => given !== undefined).length > 1) {
    throw new UsageError('--every, --at-least and --cron are three ways: choose one')
  }
  if (every !== undefined) return { ...periods, every, offset }
  if (offset !== undefined) throw new UsageError('--offset is of the periods of --every')
  if (cron !== undefined) return { ...periods, cron }
  if (atLeast === undefined) throw new UsageError('give one of --every, --at-least and --cron')
  if (timeZone === undefined && !catchUp) return { ...common, atLeast }
  throw new UsageError('--time-zone and --catch-up are of the periods of --every and --cron')
}

function msOf(length: string, option: string): number {
  return secondsOf(length, option) * 1_000
}

/** The command has ended with another exit code than 0: the run has failed. */
class CommandFailed extends Error {
  override readonly name = 'CommandFailed'

  constructor(readonly exitCode: number) {
    super(`exit code ${exitCode}`)
  }
}

async function runCommand(
  run: RunningJob,
  [command = '', ...args]: readonly string[],
  { signals, grace }: { readonly signals: Signals; readonly grace: number },
): Promise<void> {
  signals.aborted.throwIfAborted()
  const { name, token, holder, period } = run
  const env = {
    CONCURRENCY_JOB: run.job,
    CONCURRENCY_LEASE: JSON.stringify({ name, token: String(token), holder }),
    ...(period && {
      CONCURRENCY_PERIOD_START: period.start.toJSON(),
      CONCURRENCY_PERIOD_END: period.end.toJSON(),
    }),
  }
  const child = new Child({ command, args, env, signal: run.signal, grace })
  const code = await signals.during(child, () => child.ended())
  if (code !== 0) throw new CommandFailed(code)
}

function answer(job: string, outcome: JobResult<void>, skip: boolean, output: Output): ExitCode {
  switch (outcome.status) {
    case 'ran':
      return 0
    case 'done':
      output.note(`${job}: done at ${outcome.since.toJSON()}; due again at ${outcome.next.toJSON()}.`)
      return 0
    case 'failed':
      output.note(`${job}: failed at ${outcome.since.toJSON()}; tried again from ${outcome.next.toJSON()} on.`)
      return 0
    case 'running': {
      const since = outcome.since && ` since ${outcome.since.toJSON()}`
      output.note(`${job}: running elsewhere${since ?? ''}${outcome.by ? `, by ${outcome.by}` : ''}.`)
      return skip ? 0 : RUNNING_ELSEWHERE
    }
  }
}
