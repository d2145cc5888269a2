import type { Prisma } from '../../generated/prisma/client.js'
import {
  type ConcurrencyError,
  DeadlineExceededError,
  InsufficientStockError,
  type ItemKeyValue,
  type ItemName,
  ItemNotFoundError,
  isConcurrencyError,
  type OutcomeUnknownError,
  type StockQuantity,
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
    case 'INSUFFICIENT_STOCK':
      for (const { item, requested, available } of error.shortages) {
        type _item = Expect<Equal<typeof item, ItemName>>
        type _quantities = Expect<Equal<[typeof requested, typeof available], [StockQuantity, StockQuantity]>>
        if (typeof item !== 'object') item satisfies ItemKeyValue
        else item.warehouse satisfies ItemKeyValue | undefined
        if (typeof available === 'object') available.toFixed() satisfies string
        else available satisfies number | bigint
      }
      error.item satisfies number | bigint | string | Readonly<Record<string, number | bigint | string>>
      error.available satisfies number | bigint | { toFixed(): string }
      break
    case 'ITEM_NOT_FOUND':
      error.item satisfies ItemName
      break
    case 'VERSION_CONFLICT':
      error.attempts.toFixed()
      // @ts-expect-error: of another error
      error.conflicts
      break
  }
}
// The errors can be made by the tests of those who use the package, of Prisma's own Decimals, too.
declare const decimal: Prisma.Decimal
new InsufficientStockError('order 7', [
  { item: { productId: 7n, warehouse: 'main' }, requested: 3, available: decimal },
])
new DeadlineExceededError(5_000, 'a connection').waitedFor satisfies string
// @ts-expect-error: an error of no line says nothing
new InsufficientStockError('order 7', [])
// @ts-expect-error: no item has such a name
new ItemNotFoundError('Stock', { productId: new Date() })
// @ts-expect-error: not a code
isConcurrencyError(error, 'VERSION_CONFLICTS')
