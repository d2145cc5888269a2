import { setupOf } from '../engine/setup.js'
import { clientOf, retryingRoot, soleWriter, withConcurrency } from '../mapping/extension.js'
import { sessionOf } from '../prisma/client-session.js'
import { readDataModel } from '../prisma/data-model.js'
import {
  clientContext,
  type Extension,
  extensionOf,
  type Implementation,
  type Members,
  type Nothing,
} from '../prisma/extension.js'
import { eventsOn, noteLayer } from '../prisma/layers.js'
import { leasesBelow, mapJobs } from './mapping.js'
import { JobMethods } from './methods.js'
import { checkJobsOptions, type JobsOptions } from './options.js'
import type { JobClientMethods } from './types.js'

/** The members that `jobs()` adds to a client. */
export type JobsExtension = Extension<Nothing, Members<JobClientMethods>>

/**
 * The extension for jobs: `db.$job`, with a history, on a model of yours. Apply it after `leases()`. Without options it uses
 * the model that `jobSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base
 *   .$extends(concurrency())
 *   .$extends(leases())
 *   .$extends(jobs({ startedBy: process.env.HOSTNAME }))
 */
export function jobs(options: JobsOptions = {}): (client: object) => JobsExtension {
  const given = checkJobsOptions(options)
  return extensionOf((client) => {
    const below = withConcurrency(client, 'jobs')
    const map = mapJobs(readDataModel(below), leasesBelow(setupOf(below)?.features ?? []), given)
    const rootOf = (session: Parameters<typeof clientOf>[0]) =>
      retryingRoot(withConcurrency(clientOf(session), 'jobs'), map.model.name)
    const { startedBy } = given
    const { note, query } = soleWriter(below, '$job', [map.model])
    return below.$extends({
      name: 'prisma-extension-concurrency/jobs',
      ...noteLayer({ name: 'jobs', ...note, map }),
      client: jobClientMethods(new JobMethods({ map, rootOf, startedBy }, eventsOn(below))),
      query,
    })
  })
}

/** The methods as they are run. */
function jobClientMethods(methods: JobMethods): Implementation<JobClientMethods> {
  return {
    $job(name, options, body) {
      return methods.run(sessionOf(clientContext(this)), { name, options, body })
    },
    $jobHistory(options) {
      return methods.history(sessionOf(clientContext(this)), options)
    },
    $pruneJobHistory(options) {
      return methods.prune(sessionOf(clientContext(this)), options)
    },
  }
}
