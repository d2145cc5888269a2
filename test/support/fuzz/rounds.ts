import { isConcurrencyError } from '../../../src/index.js'
import type { createClient } from '../clients.js'
import { type Call, type Db, extended, MAKERS, type Query } from './calls.js'
import { Chance } from './chance.js'
import { difference, type Outcome, plainly, rowsSince, transactionId } from './compared.js'
import { copyOf, distort } from './strange.js'

type Made = ReturnType<typeof createClient>

/** Where the calls of each maker may stand. */
const PLACES = Promise.all(MAKERS.map(async (make) => (await make(async () => [{ id: 0 }])).place))

/** Far beyond the deadline of any call. */
const HANGS = 20_000

const TABLES = [
  'Product',
  'every thing',
  'Payment',
  'PaymentItem',
  'Transfer',
  'Customer',
  'ProductMovement',
  'Stock',
  'StockMovement',
  'StockReservation',
  'ArchiveStock',
  'ArchiveMovement',
  'Serial',
  'SerialAllocation',
  'IdempotencyKey',
  'SeriesNumber',
]

/**
 * Distorted calls of every method, and honest ones beside them. These rules must hold:
 *
 * - each call ends, and an error is one of the package, or of Prisma where the arguments go on to it;
 * - alone, it comes to the same as Prisma's own call with the same arguments, or is refused by an error of ours
 *   that names the distorted part; Prisma's own errors about arguments come before any SQL as well;
 * - an argument that is refused is refused before any SQL, and a refused call has written nothing;
 * - the honest ones all succeed, with the answers that they have alone;
 * - a transaction in which an argument was refused goes on, and commits.
 */
export class Rounds {
  readonly findings: string[] = []
  readonly #made: Made
  readonly #db: Db
  readonly #query: Query

  constructor(made: Made, query: Query) {
    this.#made = made
    this.#db = extended(made.client)
    this.#query = query
  }

  /** One round; all that is in it follows from the seed. */
  async run(seed: number): Promise<void> {
    const chance = new Chance(seed)
    const note = (problem: string) => this.findings.push(`FUZZ_SEED=${seed}: ${problem}`)
    const kind = chance.pick(['alone', 'beside', 'inside'] as const)
    const places = await PLACES
    const place = kind === 'inside' ? 'inside' : 'root'
    const makers = MAKERS.filter((_, i) => places[i] === 'both' || places[i] === place)
    const make = chance.pick(makers)
    const call = await make(this.#query)
    const twin = copyOf(call.args) as unknown[]
    const seedOfBoth = chance.below(2 ** 32)
    const ways = distort(call.args, new Chance(seedOfBoth))
    distort(twin, new Chance(seedOfBoth))
    if (kind === 'alone') return this.#alone(call, twin, ways, note)
    const honest = await Promise.all([make, make, chance.pick(makers)].map((maker) => maker(this.#query)))
    return kind === 'beside' ? this.#beside(call, honest, note) : this.#inside(call, honest, note)
  }

  async #alone(call: Call, twin: unknown[], ways: string[][], note: (problem: string) => void): Promise<void> {
    const plain = await plainly(call, twin, this.#made.client)
    const before = await this.#digest()
    const since = await transactionId(this.#query)
    const { statements } = this.#made
    statements.length = 0
    const outcome = await settled(call, this.#db)
    const sent = [...statements]
    const about = `${call.name}, distorted at ${ways.map((way) => way.join('.')).join(' and ')}`
    judge(call, outcome, note)
    if (plain && call.plain) {
      const rows = 'value' in outcome ? await rowsSince(since, call.plain.columns, this.#query) : []
      const problem = difference(
        { outcome, rows },
        plain,
        sent.filter((sql) => !call.mayBeSent?.test(sql)),
      )
      if (problem !== undefined) note(`${about}: ${problem}`)
    }
    if (!('error' in outcome)) return
    const { error } = outcome
    const isOwnAnswer = call.name.includes('answer')
    if (isConcurrencyError(error, 'INVALID_ARGUMENT')) {
      if (sent.length > 0 && !isOwnAnswer) note(`${about}: refused (${error.message}), but after ${sent[0]}`)
      if (!isNamed(error, ways)) note(`${about}: the error names ${error.field}: ${error.message}`)
    }
    if (before !== (await this.#digest())) note(`${about}: refused (${String(error)}), but something was written`)
  }

  async #beside(call: Call, honest: readonly Call[], note: (problem: string) => void): Promise<void> {
    const [outcome, ...others] = await Promise.all([call, ...honest].map((each) => settled(each, this.#db)))
    judge(call, outcome as Outcome, note)
    for (const [i, each] of honest.entries()) judgeHonest(each, others[i] as Outcome, call, note)
  }

  async #inside(call: Call, honest: readonly Call[], note: (problem: string) => void): Promise<void> {
    const outcomes: Outcome[] = []
    let isUsable = true
    const work = this.#db.$transaction(
      async (tx) => {
        for (const each of [honest[0] as Call, call, ...honest.slice(1)]) {
          const outcome = await settled(each, tx as unknown as Db)
          outcomes.push(outcome)
          // A refusal by the database or Prisma may end a transaction; one before any SQL may not.
          const isRefused = 'error' in outcome && !isConcurrencyError(outcome.error, 'INVALID_ARGUMENT')
          if (each === call && isRefused) {
            isUsable = false
            break
          }
        }
        if (isUsable) await tx.$queryRawUnsafe('SELECT 1')
      },
      { timeout: HANGS },
    )
    const end = await work.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    )
    if (outcomes[1]) judge(call, outcomes[1], note)
    if (!isUsable) return
    const others = [outcomes[0], ...outcomes.slice(2)]
    for (const [i, each] of honest.entries()) judgeHonest(each, others[i] ?? { error: 'not run' }, call, note)
    if ('error' in end) note(`a transaction with ${call.name}: ${String(end.error)}`)
  }

  async #digest(): Promise<string> {
    const parts = TABLES.map((table) => `(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM "${table}" AS t)`)
    const [row] = await this.#query(`SELECT concat_ws(' ', ${parts.join(', ')}) AS digest`)
    return String(row?.digest)
  }
}

async function settled(call: Call, db: Db): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => resolve({ error: new Hang() }), HANGS)
  })
  try {
    return await Promise.race([hang, (async () => ({ value: await call.run(db, call.args) }))()])
  } catch (error) {
    return { error }
  } finally {
    clearTimeout(timer)
  }
}

/** Whether an error names what is on one of the ways to what was distorted. The whole of an argument may have any name. */
function isNamed({ field, message }: { field: string; message: string }, ways: readonly string[][]): boolean {
  const names = [
    ...field.split(/[.[\]]+/),
    ...Array.from(message.matchAll(/`(\w+)`|names (\w+)/g), ([, a, b]) => a ?? b),
  ]
  const isWhole = /^(?:key|options|arguments|args|body|where)$/.test(field)
  return isWhole || ways.some((way) => way.length === 1 || way.slice(1).some((name) => names.includes(name)))
}

class Hang extends Error {
  override message = 'did not end'
}

/** A distorted call may do what it likes, as long as its error is one that tells what is wrong. */
function judge(call: Call, outcome: Outcome, note: (problem: string) => void): void {
  if (!('error' in outcome)) return
  const { error } = outcome
  if (isConcurrencyError(error) || isCallersOwn(error) || (call.isPrismas && isPrismas(error))) return
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(0, 8).join('\n') : typeof error
  note(`${call.name}: ${String(error).slice(0, 500)}\n${stack.slice(0, 1_500)}`)
}

function judgeHonest(call: Call, outcome: Outcome, beside: Call, note: (problem: string) => void): void {
  if ('error' in outcome) note(`honest ${call.name} beside ${beside.name}: ${String(outcome.error)}`)
  else if (!call.isRight(outcome.value as never)) note(`honest ${call.name} beside ${beside.name}: a wrong answer`)
}

function isCallersOwn(error: unknown): boolean {
  return error instanceof Error && /of the fuzz$/.test(error.message)
}

/**
 * Prisma's errors about arguments that go on to it are those of a plain call, also a TypeError of its
 * own. Not P2010, the code of raw SQL, which tells nothing.
 */
function isPrismas(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && error.code === 'P2010') return false
  const [thrower = ''] = (error.stack ?? '')
    .split('\n')
    .filter((line) => /^ +at .*[/\\]node_modules[/\\]|^ +at .*[/\\]src[/\\]/.test(line))
  return error.name.startsWith('PrismaClient') || /@prisma[/\\]client[/\\]runtime/.test(thrower)
}
