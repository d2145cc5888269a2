import type { Session } from '../engine/session.js'
import { setupOf } from '../engine/setup.js'
import { leasesBelow, mapJobs } from '../jobs/mapping.js'
import { JobMethods } from '../jobs/methods.js'
import { checkJobsOptions, type JobsOptions } from '../jobs/options.js'
import type { JobClientMethods } from '../jobs/types.js'
import type { PgExtension } from './extension.js'
import { rootOf } from './session.js'

/**
 * The extension for jobs, `db.$job`, with the same options and the same table as `jobs()` of
 * `prisma-extension-concurrency/work`. Apply it after `leases()`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const worker = db.$extends(leases()).$extends(jobs())
 * await worker.$job('nightly-report', { every: '1d' }, (run) => rebuild(run))
 */
export function jobs(options: JobsOptions = {}): PgExtension<JobClientMethods> {
  const given = checkJobsOptions(options)
  return {
    apply(root, models) {
      const map = mapJobs(models, leasesBelow(setupOf(root.client)?.features ?? []), given)
      const methods = new JobMethods({ map, rootOf, startedBy: given.startedBy }, root.events)
      const run =
        (session: Session): JobClientMethods['$job'] =>
        (name, options, body) =>
          methods.run(session, { name, options, body })
      const history =
        (session: Session): JobClientMethods['$jobHistory'] =>
        (given) =>
          methods.history(session, given)
      const prune =
        (session: Session): JobClientMethods['$pruneJobHistory'] =>
        (given) =>
          methods.prune(session, given)
      return [
        { name: '$job', models: [map.model.name], feature: { name: 'jobs', map }, make: run },
        { name: '$jobHistory', models: [], make: history },
        { name: '$pruneJobHistory', models: [], make: prune },
      ]
    },
  }
}
