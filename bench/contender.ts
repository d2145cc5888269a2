/**
 * A contender: one way of getting concurrent writes right (or of believing so), written
 * as its best users write it. One file each under `contenders/`, which exports it by default; a new
 * file there takes part without being listed anywhere.
 *
 * The runner imports these files in the parent process too, to plan. So a package that is not in
 * the root's node_modules is imported inside `open`, never at the top of the file.
 */

/** The kind of way: this library, by hand on Prisma, by hand on `pg`, an ORM's own, a lock outside the row, or a queue. */
export type Family = 'ours' | 'prisma' | 'pg' | 'orm' | 'lock' | 'queue'

/** A server beside PostgreSQL. `redis x3` are three Redis servers that know nothing of one another. */
export type ServerName = 'redis' | 'redis x3' | 'etcd' | 'zookeeper' | 'rest'

export interface Contender {
  /** The file's path below `contenders/` without its ending, such as `prisma/version-loop`. */
  readonly id: string
  /** A few words for tables and plots. */
  readonly title: string
  readonly family: Family
  /** The page of the documentation that tells users to write it so. */
  readonly source: string
  /**
   * Where a choice was needed, which and why: isolation, pool, prepared statements, how often it
   * tries again, how long a lease lasts. Shown in the report.
   */
  readonly choices: string
  /** It guards nothing, and is there to be found wrong: nobody is compared with it, also where it was lucky. */
  readonly isUnguarded?: boolean
  /** The server that it needs beside PostgreSQL. */
  readonly server?: ServerName
  /** Packages of `bench/package.json` that it imports. Without them it is shown as missing. */
  readonly packages?: readonly string[]
  /** Programs it needs on the PATH, such as `flock`. Without them it is shown as missing. */
  readonly programs?: readonly string[]
  /** The operations it can do, known before it is opened. A session has exactly these. */
  readonly operations: readonly OperationName[]
  /** Makes what it needs in a fresh database beside the tables of `prisma/bench`, such as a lock table. Not measured. */
  prepare?(databaseUrl: string): Promise<void>
  /** Opens it in a process. Called once per run and process; the connections may open as they are needed. */
  open(env: Environment): Promise<Session>
}

/** The input of a contender. It uses nothing else of the world outside. */
export interface Environment {
  readonly databaseUrl: string
  /** How many connections to PostgreSQL it may have in this process, all of its pools together. */
  readonly poolSize: number
  /** The URLs of the servers beside PostgreSQL that run; the runner has checked those of `server`. */
  readonly servers: Partial<Readonly<Record<ServerName, readonly string[]>>>
  /** A folder for lock files, the same one in every process of the run. */
  readonly folder: string
  /** Which of the run's processes this is, from 0. */
  readonly processIndex: number
}

/** The value that every operation resolves to. */
export interface Outcome {
  /** How often it was done again within the call, because of others. 0: it went through at once. */
  readonly retries: number
  /** The stock does not suffice, as the caller was told: an answer, not a failure. */
  readonly refused?: boolean
}

/**
 * The operations. A failure is an exception, which the runner counts; a contender catches only
 * what its users are told to catch, and tries again only as often as its users are told to.
 */
export interface Operations {
  /**
   * Adds 1 to the stock of an item by reading the item, deciding in the process, and writing the
   * number it has decided on. The guarded forms that need no read (`SET stock = stock + 1`) are
   * only for the floor in `pg/`, which says so.
   */
  readChangeWrite(itemId: number): Promise<Outcome>

  /**
   * Adds a quantity, which may be negative, to the stock of an item, and notes a movement for it
   * in the ledger, both or neither. The stock never goes below zero: then it is `refused`, and
   * nothing is noted. A transaction id that is known already is not moved again.
   */
  move(transactionId: string, itemId: number, quantity: number): Promise<Outcome>

  /**
   * Like `move`, of a quantity above zero, so that nothing can be refused. The movement is noted
   * when this resolves; the stock may follow later, at the latest in `settle`.
   */
  receive(transactionId: string, itemId: number, quantity: number): Promise<Outcome>

  /** Inserts a payment, or finds that there is one with this transaction id; one row in the end either way. */
  insertOnce(transactionId: string, amount: number): Promise<Outcome>

  /**
   * Runs the body while nobody else runs one of the same key. The rows it is given are in the
   * transaction that holds the lock, where the lock has one; otherwise on the pool, each call for itself.
   */
  critical(key: string, body: (rows: Rows) => Promise<void>): Promise<Outcome>

  /** Takes so many serials of an item that nobody has, all or none, once per transaction id. */
  takeSerials(transactionId: string, itemId: number, count: number): Promise<Outcome>

  /** Takes the next serial of an item that nobody has, once per transaction id; `refused` if there is none. */
  takeSerial(transactionId: string, itemId: number): Promise<Outcome>

  /**
   * Inserts a payment and adds a message that tells of it, both or neither. Workers in the same process handle the
   * messages, each by a row in `told`; the last ones in `settle`.
   */
  tell(transactionId: string): Promise<Outcome>

  /** Writes a document under the next number of a series that has no gaps, one per transaction id. */
  nextNumber(transactionId: string, series: string): Promise<Outcome>
}

export type OperationName = keyof Operations

/** The rows of a critical section. They check nothing: the lock is what keeps them right. */
export interface Rows {
  /** The stock of an item. */
  read(itemId: number): Promise<number>
  write(itemId: number, stock: number): Promise<void>
}

/** A contender that is open in a process. */
export interface Session extends Partial<Operations> {
  /** Does what was put off, after the last call and before the audit. Its time is part of the run. */
  settle?(): Promise<void>
  /** Ends its connections and whatever else keeps the process alive. */
  close(): Promise<void>
}

/** An operation of a session. It is there, since the contender says so; if not, that is a defect of the contender. */
export function operationOf<N extends OperationName>(session: Session, name: N): Operations[N] {
  const operation = session[name]
  if (operation === undefined) throw new Error(`The contender says that it has "${name}", and has not.`)
  return operation.bind(session) as Operations[N]
}
