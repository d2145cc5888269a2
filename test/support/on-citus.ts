/** Whether the tables of the tests are distributed by Citus. */
export const isOnCitus = process.env.ENGINE_SETUP?.endsWith('citus.sql') ?? false

/** The reasons for which tests are skipped there. As far as users meet them, they stand in the guide on Citus. */
export const NOT_ON_CITUS = {
  batches: 'Calls of several companies are a batch for each of them: a statement is for one shard.',
  closing: 'Citus closes in a savepoint on the worker, and behind movements of the same items that is refused.',
  limits:
    'A worker does not know how long a statement of the coordinator may wait for a row: whether it is carried out stays unknown.',
  partitions: 'A table that is on shards is not made into partitions.',
  plans: 'EXPLAIN on the coordinator does not show how a worker goes through its shard.',
} as const

/** Skips a test there, or each test of a file by its `beforeEach`. */
export function skipOnCitus(test: { skip(reason: string): void }, reason: keyof typeof NOT_ON_CITUS): void {
  if (isOnCitus) test.skip(NOT_ON_CITUS[reason])
}
