import { isTransactionTimeout } from '../engine/error-facts.js'
import { type RootSession, rowOf, type Session } from '../engine/session.js'
import { type Finding, isConcurrencyError } from '../errors/index.js'
import { isServerAway } from '../retry/ambiguous-outcome.js'
import { param, raw, sql } from '../sql/statement.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { NOTE, outcomeOf, type TransactionNote } from '../transactions/verify-commit.js'
import { type Capability, type Outcome, READ_COMMITTED } from './capability.js'
import type { ServerFacts } from './facts.js'
import { SharedTable } from './shared-table.js'
import type { DatabaseCapabilities, TriedCapabilities } from './types.js'

/*
 * Whether the database behaves as PostgreSQL does, where calls rely on it. Each behaviour is tried: a database that
 * speaks PostgreSQL's language may take a statement and do something else.
 *
 * Two sessions try it with advisory locks, which need no table; one tries statements on a temporary table. A behaviour that
 * needs a table of both is tried on one of our own, and only where the caller names a schema for it.
 */

/** The behaviours that the database lacks. */
export async function tryCapabilities(
  session: RootSession,
  server: ServerFacts,
  schema: string | undefined,
): Promise<Finding[]> {
  if (server.isReadOnly) return [] // there is a finding about that already
  const tried = [
    ...(session.connections === 1 ? [notTried(ONE_CONNECTION)] : await orFinding(tryTwo(session))),
    ...(server.hasTemporary ? await orFinding(tryTemporary(session)) : [notTried(NO_TEMPORARY)]),
  ]
  if (schema === undefined) return tried
  const table = new SharedTable(session, schema)
  return [...tried, ...findingsOf(await table.use((capabilities) => outcomesOf(capabilities)))]
}

type Server = Pick<DatabaseCapabilities, 'serverVersion' | 'isReadOnly' | 'isStandby' | 'waitsForStandby' | 'hasCitus'>

/** Tries the behaviours of the database. It takes two connections at once, where there are as many. */
export async function readCapabilities(session: RootSession): Promise<DatabaseCapabilities> {
  const { hasTemporary, ...server } = await rowOf<Server & { readonly hasTemporary: boolean }>(
    session,
    sql`SELECT current_setting('server_version_num')::int AS "serverVersion", pg_is_in_recovery() AS "isStandby",
  pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS "isReadOnly",
  current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local') AS "waitsForStandby",
  to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS "hasCitus",
  has_database_privilege(current_database(), 'TEMPORARY') AS "hasTemporary"`,
  )
  const tried = server.isReadOnly
    ? []
    : [
        ...(session.connections === 1 ? [] : await orNothing(tryTwo(session))),
        ...(hasTemporary ? await orNothing(tryTemporary(session)) : []),
      ]
  const found = tried.flatMap(({ capability: { name }, works }) => (name ? [[name, works] as const] : []))
  return { ...NOT_TRIED, ...Object.fromEntries(found), ...server }
}

const NOT_TRIED: TriedCapabilities = {
  advisoryLocks: undefined,
  statementSnapshots: undefined,
  transactionOutcomes: undefined,
  savepoints: undefined,
  conflictClauses: undefined,
  writesInCtes: undefined,
  skipLocked: undefined,
}

/** A database that cannot even open a transaction tells nothing by it. */
async function orNothing(trying: Promise<readonly Outcome[]>): Promise<readonly Outcome[]> {
  return trying.catch((error: unknown) => {
    if (isServerAway(error)) throw error
    return []
  })
}

const ONE_CONNECTION = 'two sessions are needed, and there is one connection'
const NO_TEMPORARY = 'the role may make no temporary table (GRANT TEMPORARY ON DATABASE)'

function notTried(why: string): Finding {
  return {
    severity: 'info',
    code: 'CAPABILITY_NOT_TRIED',
    where: 'the server',
    what: `Some of what calls rely on was not tried: ${why}`,
    cost: 'None on PostgreSQL itself; another database may lack it unseen',
    sql: undefined,
  }
}

/** A database that cannot even open a transaction, or has no more connections for one, is a finding. */
function orFinding(trying: Promise<readonly Outcome[]>): Promise<Finding[]> {
  return trying.then(findingsOf, (error: unknown) => {
    if (isServerAway(error)) throw error
    if (isTransactionTimeout(error) || isConcurrencyError(error, 'DEADLINE_EXCEEDED')) return [notTried(ONE_CONNECTION)]
    const what = `A transaction of the check has failed: ${reasonOf(error)}`
    const cost = 'Calls that need a transaction fail'
    return [{ severity: 'error', code: 'CAPABILITY_MISSING', where: 'the server', what, cost, sql: undefined }]
  })
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : String(error)
}

async function outcomesOf(capabilities: readonly Capability[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const capability of capabilities) {
    outcomes.push(
      await capability.tried().then(
        (works) => ({ capability, works, reason: '' }),
        (error: unknown) => ({ capability, works: false, reason: `: ${reasonOf(error)}` }),
      ),
    )
  }
  return outcomes
}

function findingsOf(outcomes: readonly Outcome[]): Finding[] {
  return outcomes
    .filter(({ works }) => !works)
    .map(({ capability: { what, cost }, reason }) => ({
      severity: 'error',
      code: 'CAPABILITY_MISSING',
      where: 'the server',
      what: `${what}${reason}`,
      cost,
      sql: undefined,
    }))
}

/** Two transactions at once, the second of which waits for a lock of the first until that has committed. */
async function tryTwo(session: RootSession): Promise<Outcome[]> {
  const key = [param(randomInt(), 'int'), param(randomInt(), 'int')] as const
  const lock = sql`SELECT pg_advisory_xact_lock(${key[0]}, ${key[1]})::text`
  return session.transaction(READ_COMMITTED, async (second) => {
    const isSeen = async ({ xid }: TransactionNote) =>
      (
        await rowOf<{ seen: boolean }>(
          second,
          sql`SELECT pg_visible_in_snapshot(${param(xid)}::xid8, pg_current_snapshot()) AS seen`,
        )
      ).seen
    const [note, excludes, waiting] = await session.transaction(READ_COMMITTED, async (first) => {
      await first.rows(lock)
      const noted = await rowOf<TransactionNote>(first, sql`SELECT ${raw(NOTE)}`)
      const taken = await rowOf<{ taken: boolean }>(
        second,
        sql`SELECT pg_try_advisory_xact_lock(${key[0]}, ${key[1]}) AS taken`,
      )
      const isEarly = await isSeen(noted)
      // Handed on in an object, since a promise alone would be waited for.
      return [noted, !taken.taken && !isEarly, { end: second.rows(lock) }] as const
    })
    await waiting.end
    return outcomesOf([
      { ...ADVISORY, tried: async () => excludes },
      { ...SNAPSHOT, tried: () => isSeen(note) },
      {
        ...STATUS,
        tried: async () =>
          (await outcomeOf(note, session, new Deadline(5_000, undefined, systemClock))) === 'committed',
      },
      { ...SAVEPOINT, tried: () => survives(second) },
    ])
  })
}

const ADVISORY = {
  name: 'advisoryLocks',
  what: 'Advisory locks do not keep a second transaction out',
  cost: 'Two bodies of $withAdvisoryLock run at once, and transactions that have had conflicts do not take turns',
} as const
const SNAPSHOT = {
  name: 'statementSnapshots',
  what: 'A statement in a READ COMMITTED transaction does not see what was committed while the one before it waited for a lock',
  cost: 'A body under a lock reads what was there before its last holder, and overwrites it',
} as const
const STATUS = {
  name: 'transactionOutcomes',
  what: 'The server does not tell what became of a transaction (pg_xact_status)',
  cost: 'A COMMIT whose answer is lost ends as an OutcomeUnknownError',
} as const
const SAVEPOINT = {
  name: 'savepoints',
  what: 'A failed statement in a savepoint ends the whole transaction',
  cost: 'A refusal that a body handles undoes what it has written before',
} as const

async function survives(session: Session): Promise<boolean> {
  if (!session.inTransaction) return false
  const failure = await session
    .contained((inner) => inner.rows(sql`SELECT 1 / 0 AS never`))
    .then(
      () => false,
      () => true,
    )
  return failure && (await rowOf<{ one: number }>(session, sql`SELECT 1 AS one`)).one === 1
}

/** Statements of the forms that calls have, on a table that nobody else sees. */
function tryTemporary(session: RootSession): Promise<Outcome[]> {
  return session.transaction(READ_COMMITTED, async (tx) => {
    const count = async (statement: Parameters<typeof tx.rows>[0]) => (await tx.rows(statement)).length
    await tx.rows(sql`CREATE TEMPORARY TABLE concurrency_probe (id int PRIMARY KEY, n int NOT NULL) ON COMMIT DROP`)
    const insert = sql`INSERT INTO pg_temp.concurrency_probe VALUES (1, 0) ON CONFLICT (id) DO NOTHING RETURNING id`
    const write = sql`WITH written AS (UPDATE pg_temp.concurrency_probe SET n = n + 1 RETURNING id, n),
  added AS (INSERT INTO pg_temp.concurrency_probe SELECT id + 1, n FROM written RETURNING id)
SELECT written.n FROM written JOIN added ON added.id = written.id + 1`
    const lock = sql`SELECT id FROM pg_temp.concurrency_probe WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED`
    return outcomesOf([
      {
        name: 'conflictClauses',
        what: 'INSERT … ON CONFLICT DO NOTHING does not tell an inserted row from a duplicate',
        cost: 'A request that is sent again is carried out again',
        tried: async () => (await count(insert)) === 1 && (await count(insert)) === 0,
      },
      {
        name: 'writesInCtes',
        what: 'One statement cannot write two tables (data-modifying CTEs)',
        cost: '$stock, $serials and $series fail',
        tried: async () => (await count(write)) === 1,
      },
      {
        name: 'skipLocked',
        what: 'FOR NO KEY UPDATE SKIP LOCKED is not there',
        cost: '$serials.allocate, $stock.project and batches of versioned writes fail',
        tried: async () => (await count(lock)) === 1,
      },
    ])
  })
}

function randomInt(): number {
  return Math.trunc(Math.random() * 2 ** 31)
}
