import { inbox as prismaInbox } from '../../src/inbox/extension.js'
import type { InboxOptions } from '../../src/inbox/options.js'
import { inbox } from '../../src/pg/inbox.js'
import type { describeEngines, EngineOptions } from './engines.js'

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]

export function useInbox({ connect, name }: Pick<Engine, 'connect' | 'name'>) {
  const open = async (engine: Partial<EngineOptions> = {}, options: InboxOptions = { version: {} }) => {
    const made = await connect(name, engine)
    const onPg = () => made.db.$extends(inbox(options))
    const db = name === 'pg' ? onPg() : made.db.$extends(prismaInbox(options) as never)
    return db as ReturnType<typeof onPg>
  }
  return { open }
}
