import { steps } from '../../src/pg/steps.js'
import { steps as prismaSteps } from '../../src/steps/extension.js'
import type { StepsOptions } from '../../src/steps/options.js'
import type { Operation } from '../../src/steps/types.js'
import type { Database } from './database.js'
import { type describeEngines, type EngineName, type EngineOptions, openEngine, rows } from './engines.js'

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]
type Made = Awaited<ReturnType<typeof openEngine>>

/** The extension on a client of an engine. To the tests both are one. */
export function withSteps({ db }: Pick<Made, 'db'>, name: EngineName, options: StepsOptions = {}) {
  const onPg = () => db.$extends(steps(options))
  return name === 'pg' ? onPg() : (db.$extends(prismaSteps(options) as never) as ReturnType<typeof onPg>)
}

export type StepsDb = ReturnType<typeof withSteps>

export function useSteps({ connect, name: own }: Pick<Engine, 'connect' | 'name'>) {
  return {
    open: async (engine: Partial<EngineOptions> = {}, name: EngineName = own, options: StepsOptions = {}) =>
      withSteps(await connect(name, engine), name, options),
  }
}

/** The same for a process of its own. */
export async function openSteps(name: EngineName, options: EngineOptions) {
  const made = await openEngine(name, options)
  return { db: withSteps(made, name), close: made.close }
}

/** Another system, which keeps what it was called with. It knows a call that comes again by its key. */
export class OtherSide {
  /** The keys of all calls. */
  readonly calls: string[] = []
  readonly #known = new Map<string, number>()

  /** The number of the charge: the same for the same key. */
  readonly charge = async (key: string): Promise<number> => {
    this.calls.push(key)
    if (!this.#known.has(key)) this.#known.set(key, this.#known.size + 1)
    return this.#known.get(key) ?? 0
  }

  get charges(): number {
    return this.#known.size
  }
}

/** The same for several processes: it keeps its charges in a table, past the package. */
export function bankIn(query: (sql: string, values: unknown[]) => Promise<unknown>) {
  return async (key: string): Promise<number> => {
    await query('INSERT INTO "Note" (text) VALUES ($1)', [`call ${key}`])
    await query('INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1) ON CONFLICT DO NOTHING', [key])
    const found = await query('SELECT id FROM "Payment" WHERE "transactionId" = $1', [key])
    const [row] = found as { id: number }[]
    return Number(row?.id)
  }
}

/** The effect of a step in the tests: a line of text in a table. */
export function note(tx: object, text: string): Promise<unknown> {
  return rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
}

/** A payment in three steps, each of the two in the database with a note. `before` is told of each. */
export function pay(key: string, charge: (key: string) => Promise<number>, before = (_step: string) => {}) {
  return async (op: Operation<object>) => {
    before('reserve')
    await op.step('reserve', async (tx) => {
      await note(tx, `${key} reserve`)
    })
    before('charge')
    const number = await op.external('charge', charge)
    before('book')
    await op.step('book', async (tx) => {
      await note(tx, `${key} book ${number}`)
    })
    return number
  }
}

/** The notes of an operation, without its key, in the order in which they were written. */
export async function notesOf(database: Pick<Database, 'query'>, key: string): Promise<string[]> {
  const found = await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY id', [`${key} %`])
  return found.map(({ text }) => String(text).slice(key.length + 1))
}

/** The row of an operation, past this package. */
export async function operationRow(database: Pick<Database, 'query'>, key: string) {
  const [row] = await database.query('SELECT state, answer, steps FROM "Operation" WHERE key = $1', [key])
  return row as { state: string; answer: string | null; steps: { name: string; answer?: string; undone?: true }[] }
}
