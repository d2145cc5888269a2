export interface AfterOptions {
  /** How long to wait for a replica that is behind, in ms, before the body runs on the primary. Default: that of `replicas()`. */
  readonly wait?: number
  /** How long the body may take, in ms. Default 5,000. */
  readonly timeout?: number
}

/** The type of `$after`. `Reader` is the `tx` that the body is given. */
export type After<Reader> = <R>(at: string, body: (reader: Reader) => Promise<R>, options?: AfterOptions) => Promise<R>

/** The methods that `replicas()` adds to a client. `Reader` is the `tx` that a body of `$after` is given. */
export interface ReplicaMethods<Reader> {
  /**
   * The place where the primary is now: a read behind it sees all that was committed before this call. A short text, for a
   * cookie, a header or a message. Calls of one tick share their statement.
   *
   * @returns the timeline and the end of the WAL, such as `1:0/16B3748`
   * @throws InvalidArgumentError on the `tx` of a transaction, which is not committed yet
   * @throws ConfigurationError if the client is connected to a replica
   *
   * @example
   * await db.order.update({ where: { id }, data: { customer } })
   * const at = await db.$at()
   */
  $at(): Promise<string>

  /**
   * Reads on a replica that has all that was committed before `at`, or on the primary. The body runs in a transaction that
   * only reads, on the connection on which the replica was asked. A replica that is behind is waited for, and then the
   * primary is read; so it is where the replica cannot be reached, or is on another timeline than `at`: after a failover
   * nobody can compare the two.
   *
   * The body may run twice: on the primary, when a replica has ended it in the middle (a lost connection, a conflict with
   * recovery).
   *
   * @returns what the body does
   * @throws InvalidArgumentError if `at` is not what `$at` has given, or on the `tx` of a transaction
   * @throws DeadlineExceededError if the body takes longer than `timeout`
   * @throws the error of the body, also if it writes
   *
   * @example
   * const orders = await db.$after(at, (reader) => reader.order.findMany({ where: { customer } }))
   */
  $after: After<Reader>
}
