import { randomUUID } from 'node:crypto'
import { outbox as prismaOutbox } from '../../src/outbox/extension.js'
import type { OutboxOptions } from '../../src/outbox/options.js'
import { outbox } from '../../src/pg/outbox.js'
import { type describeEngines, type EngineOptions, rows } from './engines.js'

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]

/** The payloads of the tests: a number for each message. */
export interface Topics {
  readonly [topic: string]: { readonly n: number }
}

export function useOutbox({ connect, name }: Pick<Engine, 'connect' | 'name'>) {
  const open = async (options: OutboxOptions = {}, engine: Partial<EngineOptions> = {}) => {
    const made = await connect(name, engine)
    const onPg = () => made.db.$extends(outbox({ ...options, topics: {} as Topics }))
    const db = name === 'pg' ? onPg() : made.db.$extends(prismaOutbox(options) as never)
    return db as ReturnType<typeof onPg>
  }
  type Db = Awaited<ReturnType<typeof open>>
  /** Adds messages with these numbers, each in a transaction of its own. */
  const add = async (db: Db, topic: string, numbers: readonly number[], key?: string) => {
    for (const n of numbers) await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n }, { key }))
  }
  return { add, newTopic: () => randomUUID(), open }
}

/** The effect of handlers in the tests: a line of text in a table. */
export function note(tx: object, text: string): Promise<unknown> {
  return rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
}

/** Where the relays of `outbox-worker.ts` write their effects: `seq` is the order in which they ran. */
export const SENT =
  'CREATE TABLE sent (seq bigserial PRIMARY KEY, id uuid NOT NULL, key text NOT NULL, position int8 NOT NULL, attempt int NOT NULL)'
