// The two come together: work is loaded from the files of the core, and the core from no more of them than before.
export { concurrency } from './index.js'
export { type LeasesExtension, leases } from './leases/extension.js'
export type { LeasesOptions } from './leases/options.js'
export { leaseSchema, leaseSql } from './leases/schema.js'
export type {
  AssertLease,
  AssertLeaseOptions,
  Lease,
  LeaseClientMethods,
  LeaseFence,
  LeaseOptions,
  WithLease,
} from './leases/types.js'
