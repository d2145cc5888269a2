import {
  type ConcurrencyError,
  isConcurrencyError,
  type OutcomeUnknownError,
  type VersionConflictError,
} from '../../src/index.js'
import type { Equal, Expect } from './support.js'

declare const error: unknown

if (isConcurrencyError(error, 'VERSION_CONFLICT')) {
  type _narrowed = Expect<Equal<typeof error, VersionConflictError>>
  type _actual = Expect<Equal<typeof error.actual, number | bigint>>
}
if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) {
  type _narrowed = Expect<Equal<typeof error, OutcomeUnknownError>>
}
if (isConcurrencyError(error)) {
  error satisfies ConcurrencyError
  switch (error.code) {
    case 'BATCH_VERSION_CONFLICT':
      error.conflicts.map(({ index, actual }) => ({ index, actual }))
      break
    case 'CONFIGURATION':
      error.issues.map(({ path, message }) => `${path}: ${message}`)
      break
    case 'VERSION_CONFLICT':
      error.attempts.toFixed()
      // @ts-expect-error: of another error
      error.conflicts
      break
  }
}
// @ts-expect-error: not a code
isConcurrencyError(error, 'VERSION_CONFLICTS')
