import type { RecordSession, RootRecords, TransactionRecords } from '../engine/records.js'
import { WriteSuppressedError } from '../errors/index.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { canonical } from '../values/canonical.js'
import { GuardedWrite, versionIn } from './guarded-write.js'
import type { UpdateManyCall, Verdict } from './update-many.js'
import type { Item } from './update-many-items.js'

/** Undoes what was written, where a row of a batch of all or nothing was not. */
class NotAll {
  readonly verdicts: readonly Verdict[]

  constructor(verdicts: readonly Verdict[]) {
    this.verdicts = verdicts
  }
}

/**
 * The batch as calls of Prisma's own, so that every extension sees each of them, in one transaction.
 * They go in one order, whatever the order given, so that batches that meet wait for each other
 * instead of deadlocking.
 */
export async function updateOneByOne(
  session: RootRecords | TransactionRecords,
  call: UpdateManyCall,
  items: readonly Item[],
): Promise<readonly Verdict[]> {
  const { versioned, deadline, mode } = call
  const body = async (inside: RecordSession): Promise<readonly Verdict[]> => {
    const verdicts: Verdict[] = []
    for (const { item, index } of inOrder(items)) {
      deadline.check('the database')
      verdicts[index] = await writeOne(inside, call, item)
    }
    if (mode === 'all' && verdicts.some(({ status }) => status !== 'updated')) throw new NotAll(verdicts)
    return verdicts
  }
  try {
    if (session.inTransaction) return await session.contained(body)
    return await inOwnTransaction(session, { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' }, body)
  } catch (error) {
    if (!(error instanceof NotAll)) throw error
    const { verdicts } = error
    const suppressed = items.find((_, index) => verdicts[index]?.status === 'suppressed')
    const hasConflict = verdicts.some(({ status }) => status === 'stale' || status === 'missing')
    if (hasConflict || !suppressed) return verdicts
    throw new WriteSuppressedError(versioned.model.name, suppressed.row)
  }
}

/** By their names, in which numbers are of one length, so that their order is that of the numbers. */
function inOrder(items: readonly Item[]) {
  const nameOf = ({ row }: Item) => canonical(row).replace(/\d+/g, (digits) => digits.padStart(20, '0'))
  return items.map((item, index) => ({ item, index, name: nameOf(item) })).sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function writeOne(session: RecordSession, call: UpdateManyCall, item: Item): Promise<Verdict> {
  const { row, key, expected, data } = item
  const { name } = call.versioned.version
  const selection = { select: { [name]: true } }
  const write = new GuardedWrite({ ...call, row, key, selection, currentSelection: selection })
  const args = { where: { ...row, [name]: expected }, data: { ...data, [name]: { increment: 1 } }, ...selection }
  try {
    const outcome = await write.outcomeOf(async () => {
      const send = (inside: RecordSession) => inside.update(args)
      return { status: 'updated', record: await write.run(session, { expected, send }, 1) }
    })
    if ('record' in outcome) return { status: 'updated', version: versionIn(outcome.record, call.versioned) }
    if (outcome.status === 'missing') return { status: 'missing' }
    return { status: 'stale', expected, actual: outcome.actual }
  } catch (error) {
    if (error instanceof WriteSuppressedError) return { status: 'suppressed' }
    throw error
  }
}
