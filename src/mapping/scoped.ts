/** Methods for one scope at a time: each takes it as `scope`, and `in` gives the same methods with a scope bound. */
export type Scoped<T, Scope> = { [M in keyof T]: ScopedMethod<T[M], Scope> } & ScopeBinding<T, Scope>

type ScopedMethod<F, Scope> = F extends (...args: infer A) => infer R
  ? (
      args: (A extends readonly [] ? Record<never, never> : NonNullable<A[0]>) & { scope: Scope },
      ...others: Others<A>
    ) => R
  : never

type Others<A> = A extends readonly [_?: unknown, ...others: infer B] ? B : []

export interface ScopeBinding<T, Scope> {
  /**
   * The same methods for one scope, such as one company: everything that they write and see is of it.
   *
   * @throws InvalidArgumentError that names the field of the scope without a value
   *
   * @example
   * const stock = db.$stock.in({ companyId })
   * await stock.move({ transactionId, item: 11, quantity: -3 })
   */
  in(scope: Scope): T
}
