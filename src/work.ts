// The two come together: work is loaded from the files of the core, and the core from no more of them than before.

export { type HandleOnce, type InboxClientMethods, type InboxExtension, inbox } from './inbox/extension.js'
export type { InboxMessageMapping, InboxOptions, InboxVersionMapping } from './inbox/options.js'
export { type InboxSchemaOptions, inboxSchema, inboxSql } from './inbox/schema.js'
export type {
  InboxBatchResult,
  InboxCallOptions,
  InboxMessage,
  InboxResult,
  PruneInboxOptions,
} from './inbox/types.js'
export { concurrency } from './index.js'
export { type JobsExtension, jobs } from './jobs/extension.js'
export type { JobRunMapping, JobsOptions } from './jobs/options.js'
export { jobSchema, jobSql } from './jobs/schema.js'
export type {
  AtLeastOptions,
  CronOptions,
  EveryOptions,
  JobCallOptions,
  JobClientMethods,
  JobHistoryOptions,
  JobOptions,
  JobResult,
  JobRun,
  JobState,
  PruneJobHistoryOptions,
  RunningJob,
} from './jobs/types.js'
export { type LeasesExtension, leases } from './leases/extension.js'
export type { LeasesOptions } from './leases/options.js'
export { leaseSchema, leaseSql } from './leases/schema.js'
export { type LeaseFenceOptions, leaseFenceTriggerSql } from './leases/trigger.js'
export type {
  AssertLease,
  AssertLeaseOptions,
  Lease,
  LeaseClientMethods,
  LeaseFence,
  LeaseOptions,
  WithLease,
} from './leases/types.js'
export { type OutboxExtension, outbox } from './outbox/extension.js'
export type { OutboxKeyMapping, OutboxMessageMapping, OutboxOptions } from './outbox/options.js'
export { type OutboxSchemaOptions, outboxSchema, outboxSql } from './outbox/schema.js'
export type {
  AddOptions,
  DeadFilter,
  DeadMessage,
  DeadOptions,
  DeliveryContext,
  Handler,
  JsonValue,
  Outbox,
  OutboxMessage,
  RelayOptions,
  TopicsOf,
} from './outbox/types.js'
export { type ReplicasExtension, replicas } from './replicas/extension.js'
export type { ReplicasOptions } from './replicas/options.js'
export type { After, AfterOptions, ReplicaMethods } from './replicas/types.js'
export { type RunSteps, type StepsClientMethods, type StepsExtension, steps } from './steps/extension.js'
export type { StepsOptions } from './steps/options.js'
export { stepsSchema, stepsSql } from './steps/schema.js'
export type {
  ExternalStep,
  Operation,
  PruneStepsOptions,
  Step,
  StepsCallOptions,
  StepsResult,
} from './steps/types.js'
