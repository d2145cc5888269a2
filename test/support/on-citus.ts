/** Whether the tables of the tests are distributed by Citus. */
export const isOnCitus = process.env.ENGINE_SETUP?.endsWith('citus.sql') ?? false

/** What Citus cannot; the guide on Citus says the same. */
export const NOT_ON_CITUS = {} as const

/** Skips a test there, or each test of a `describe` by its `beforeEach`. */
export function skipOnCitus(test: { skip(reason: string): void }, reason: keyof typeof NOT_ON_CITUS): void {
  if (isOnCitus) test.skip(reason)
}
