import type { Args, Exactly, GivenArgs, RecordOf, UniqueWhere } from '../prisma/types.js'

/** How rows are locked, by PostgreSQL's own names (manual, "13.3.2. Row-Level Locks"). */
export interface RowLockOptions {
  /**
   * Default `noKeyUpdate`: no other transaction can change, delete or lock the rows, and rows that refer to them can
   * be inserted. `update` keeps these out, too: take it to delete the rows, or to change a key. `share` lets others
   * lock the rows by `share`, and keeps all writers out.
   */
  mode?: 'noKeyUpdate' | 'update' | 'share' | undefined
  /** For rows that others have locked. Default `block`, which waits; `skip` leaves them out; `refuse` throws. */
  wait?: 'block' | 'skip' | 'refuse' | undefined
  /** How long `block` waits for all of the rows together, in ms. Default 5,000. */
  timeout?: number | undefined
}

export type FindUniqueForUpdateArgs<T> = RowLockOptions & {
  /** The record, by a unique key, and perhaps conditions that it must meet. */
  where: UniqueWhere<T>
}

export type FindManyForUpdateArgs<T> = RowLockOptions & {
  /** Prisma's own `where`. Conditions on other models are met when the rows are read; only rows of this one are locked. */
  where: NonNullable<Args<T, 'findMany'>['where']>
  /** Prisma's own `orderBy`. */
  orderBy?: Args<T, 'findMany'>['orderBy']
  /** How many rows at most, from 1 to 10,000. Without it, the call is refused where more than 10,000 fit. */
  take?: number | undefined
}

/** The type of `findUniqueForUpdate`. */
export type FindUniqueForUpdate = <T, const S extends GivenArgs>(
  this: T,
  args: FindUniqueForUpdateArgs<T> & Exactly<T, S>,
) => Promise<RecordOf<T, S> | null>

/** The type of `findManyForUpdate`. */
export type FindManyForUpdate = <T, const S extends GivenArgs>(
  this: T,
  args: FindManyForUpdateArgs<T> & Exactly<T, S>,
) => Promise<RecordOf<T, S>[]>

/** The methods of row locks that every model has, in a transaction. */
export interface RowLockModelMethods {
  /**
   * Reads one record and locks its row until the transaction ends. `where`, `select`, `include` and `omit` are
   * Prisma's own. `null` is a record that is not there, or, with `wait: 'skip'`, that another transaction has locked.
   *
   * The record is read after its row is locked: nobody changes it from then on.
   *
   * @throws TransactionRequiredError outside a transaction
   * @throws RowLockedError if it was not free within `timeout`, or is locked and `wait` is `refuse`; the transaction
   *   stays usable
   *
   * @example
   * const product = await tx.product.findUniqueForUpdate({ where: { id } })
   *
   * Source: PostgreSQL manual, "13.3.2. Row-Level Locks".
   */
  findUniqueForUpdate: FindUniqueForUpdate

  /**
   * Reads records and locks their rows until the transaction ends. `where`, `orderBy`, `take`, `select`, `include`
   * and `omit` are Prisma's own.
   *
   * With `wait: 'skip'` or `'refuse'` nobody waits, and the rows are locked in the order of `orderBy`, no more of them
   * than `take`: of n workers with `skip` and `take: 1` over n rows, each gets one. With `block` the rows are picked,
   * locked in the order of their key, so that two calls are never in a deadlock, and compared with `where` again. A
   * row that another transaction has changed meanwhile is left out, so the answer may be shorter than `take`.
   *
   * @throws TransactionRequiredError outside a transaction
   * @throws RowLockedError if the rows were not free within `timeout`, or one is locked and `wait` is `refuse`; the
   *   transaction stays usable
   *
   * @example
   * const [task] = await tx.order.findManyForUpdate({
   *   where: { customer: 'Vinet' },
   *   orderBy: { id: 'asc' },
   *   take: 1,
   *   wait: 'skip',
   * })
   *
   * Source: PostgreSQL manual, SELECT, "The Locking Clause".
   */
  findManyForUpdate: FindManyForUpdate
}
