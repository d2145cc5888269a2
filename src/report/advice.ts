import type { ContentionSnapshot, HotSpot, OperationContention } from '../events/contention.js'

/** The answer to "do I need a lock here?" for one hot spot. */
export interface Advice {
  /** Such as `updateVersioned Product {"id":7}`. */
  readonly where: string
  /** The cost as it is. */
  readonly now: string
  readonly answer: 'no lock' | 'keep the lock' | 'another way'
  /** A way that costs less; empty where it is well as it is. */
  readonly instead: string
  readonly reason: string
  /** The page of the guide, below `docs/guide`, and its section, such as `stock.md#use-it`. */
  readonly page: string
}

type Verdict = Omit<Advice, 'where' | 'now'>

/** A mean wait in ms below which a queue costs less than any change. */
const SHORT = 5
/** Conflicts for each call from which they cost more than a queue in the process. */
const OFTEN = 0.1

/** For each hot spot, the hottest first. */
export function adviceFor(snapshot: ContentionSnapshot): Advice[] {
  return snapshot.hot.map((spot) => {
    const own = snapshot.operations.find(({ operation, model }) => operation === spot.operation && model === spot.model)
    return { where: placeOf(spot), now: costOf(spot, snapshot), ...verdictOn(spot, own) }
  })
}

/** The name of a method, and of what it was called on. */
export function placeOf({ operation, model, key }: Pick<HotSpot, 'operation' | 'model'> & { key?: string }): string {
  return [operation, model, key].filter((part) => part !== undefined && part !== '').join(' ')
}

function costOf(
  { count, conflicts, deadlocks, waits, waitedMs }: HotSpot,
  { since, until }: ContentionSnapshot,
): string {
  const parts = [
    conflicts > 0 ? `${conflicts} conflicts` : '',
    deadlocks > 0 ? `${deadlocks} deadlocks, each at least as long as deadlock_timeout` : '',
    waits > 0 ? `${Math.round(waitedMs)} ms waited by ${waits} calls, ${mean(waitedMs, waits)} ms each` : '',
  ].filter((part) => part !== '')
  const seconds = Math.max(1, Math.round((Date.parse(until) - Date.parse(since)) / 1_000))
  return `${parts.length === 0 ? `${count} meetings` : parts.join('; ')}, in ${seconds} s`
}

const mean = (total: number, count: number) => Math.round((10 * total) / Math.max(1, count)) / 10

function verdictOn(spot: HotSpot, own: OperationContention | undefined): Verdict {
  if (spot.deadlocks > 0) {
    return {
      answer: 'another way',
      instead: 'take what the transaction writes in one order, or one $withAdvisoryLock for all of its keys',
      reason: 'a deadlock costs the time until PostgreSQL finds it, and then one of the two transactions anew',
      page: 'transactions.md#deadlocks',
    }
  }
  if (spot.operation.includes('dvisory')) return lockVerdict(spot)
  if (spot.operation.endsWith('Versioned')) return versionVerdict(spot, own)
  return OTHERS.find(({ of }) => of.test(spot.operation))?.verdict ?? FINE
}

function lockVerdict({ waits, waitedMs }: HotSpot): Verdict {
  const isShort = waitedMs / Math.max(1, waits) < SHORT
  if (isShort) {
    return {
      answer: 'no lock',
      instead: 'updateVersioned with a function, if what the body writes is a row',
      reason:
        'callers hardly wait here: a version costs two statements where the lock costs a transaction and two more',
      page: 'versioned-updates.md#read-change-write',
    }
  }
  return {
    answer: 'keep the lock',
    instead:
      'a shorter body: what needs no lock, such as calls to other systems, before or behind it; or a key for less than all; for a balance, $stock.move',
    reason: 'callers really wait for each other: without the lock they would fail and try again, which costs more',
    page: 'advisory-locks.md',
  }
}

/** Of the methods whose `data` is no function, where conflicts are many. */
const DECIDED_BEFORE: Readonly<Record<string, Verdict>> = {
  updateManyVersioned: {
    answer: 'no lock',
    instead: "`mode: 'each'`, which writes the rows that are fresh, or fewer rows in one call",
    reason: 'one row that somebody else has changed takes all rows of the call with it',
    page: 'many-rows.md',
  },
  deleteVersioned: {
    answer: 'no lock',
    instead: '',
    reason:
      'whether a row that somebody has changed is still to be deleted has to be decided anew, with a lock as well',
    page: 'deletes.md',
  },
}

function versionVerdict({ operation, conflicts }: HotSpot, own: OperationContention | undefined): Verdict {
  const rate = own?.conflictRate ?? 0
  const isOften = conflicts > 0 && rate >= OFTEN
  const before = DECIDED_BEFORE[operation]
  if (isOften && before) return before
  if (isOften && own && own.retries < own.conflicts / 2) {
    return {
      answer: 'no lock',
      instead: '`data` as a function, where no person has to decide anew',
      reason:
        'callers that bring the version are told of each conflict; a function is run again by itself, and those of one process go into one write',
      page: 'versioned-updates.md#read-change-write',
    }
  }
  if (isOften) {
    return {
      answer: 'another way',
      instead: '$stock.move for a quantity, or an insert for each change that is folded later',
      reason:
        'several processes write the row at once, and each conflict costs a read and a write anew; a movement waits for no version',
      page: 'stock.md#use-it',
    }
  }
  return {
    answer: 'no lock',
    instead: '',
    reason: 'conflicts are rare, and calls of one process go into one write: a lock would make all of them wait',
    page: 'versioned-updates.md#calls-of-one-process',
  }
}

const FINE: Verdict = {
  answer: 'no lock',
  instead: '',
  reason: 'the database keeps these calls apart by itself, for as long as it must',
  page: 'README.md',
}

const OTHERS: readonly { readonly of: RegExp; readonly verdict: Verdict }[] = [
  {
    of: /^\$series\.next$/,
    verdict: {
      answer: 'another way',
      instead: '$series.create, or `blocks` where gaps are allowed',
      reason:
        'a gapless number keeps the counter locked until its transaction ends; create numbers and inserts in one statement for all callers',
      page: 'number-series.md#a-number-and-its-document-at-once',
    },
  },
  {
    of: /^\$series\./,
    verdict: {
      answer: 'no lock',
      instead: '`blocks`, where gaps are allowed',
      reason: 'calls of one process share a statement already, and other processes wait for the counter',
      page: 'number-series.md#a-number-in-your-transaction',
    },
  },
  {
    of: /^\$serials\./,
    verdict: {
      answer: 'no lock',
      instead: 'more free serials, so that callers find others than those that somebody is taking',
      reason: 'callers pass over what others have locked, and wait only where too few are free',
      page: 'serial-numbers.md#allocate',
    },
  },
  {
    // A ledger, whatever its name is.
    of: /^\$\w+\./,
    verdict: {
      answer: 'no lock',
      instead: '`defer` for receipts, which nobody has to wait for',
      reason: 'calls of one process share one lock of the item already; what is left is the wait for other processes',
      page: 'stock.md#minimum-deferred-movements-reservations',
    },
  },
  {
    of: /^\$(idempotent|oncePer)$/,
    verdict: {
      answer: 'no lock',
      instead: "`whileRunning: 'refuse'`, where a duplicate need not wait for the answer",
      reason: 'duplicates wait for the first one of their key, which is what the key is for',
      page: 'operation-once.md',
    },
  },
  {
    of: /^\$transactionWithRetry$/,
    verdict: {
      answer: 'another way',
      instead: 'READ COMMITTED with versioned writes, or one $withAdvisoryLock for what they all write',
      reason: 'a serialization failure costs the whole transaction anew; a version costs the one row',
      page: 'transactions.md',
    },
  },
]
