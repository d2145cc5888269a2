import { InvalidArgumentError } from 'commander'
import type { ClientBase } from 'pg'
import { confirmed } from '../ask.js'
import { type CommandModule, type ExitCode, type Output, UsageError } from '../command.js'
import { type DatabaseOptions, databaseOptions, databaseUrl, openPool } from '../database.js'
import { endBackend, readActivity, readBackend } from '../locks/activity.js'
import { readKeyNames } from '../locks/key-names.js'
import { readRowKeys, rowName } from '../locks/rows.js'
import { backendLines, type Locks, maskedQuery, textOf } from '../locks/text.js'

interface LocksOptions extends DatabaseOptions {
  readonly key?: readonly string[]
  readonly end?: number
  readonly yes?: boolean
  readonly json?: boolean
}

const CONNECTIONS = 1

export const locks: CommandModule<LocksOptions> = {
  describe: (command) =>
    databaseOptions(command)
      .option('--key <key>', 'names the lock of this key, a text or JSON; may be repeated', collected)
      .option('--end <pid>', 'ends this connection, and with it its transaction, after a question', pidOf)
      .option('--yes', 'ends it without a question')
      .option('--json', 'prints the locks as JSON')
      .addHelpText('after', `\nExample: prisma-extension-concurrency locks --key report --key '["stock",7]'`),

  async run(options, _args, output) {
    const pool = await openPool(await databaseUrl(options), CONNECTIONS)
    const client = await pool.connect()
    try {
      if (options.end !== undefined) return await end(client, options, options.end, output)
      const names = await readKeyNames(client, options.key ?? [])
      const activity = await readActivity(client)
      const found = { activity, names, keys: await readRowKeys(client, activity.waits) }
      output.print(options.json ? JSON.stringify(jsonOf(found), null, 2) : textOf(found))
      return 0
    } finally {
      client.release()
      await pool.end()
    }
  },
}

const collected = (key: string, before: readonly string[] = []) => [...before, key]

function pidOf(text: string): number {
  const pid = Number(text)
  if (Number.isInteger(pid) && pid > 0) return pid
  throw new InvalidArgumentError('It must be the number of a process.')
}

async function end(client: ClientBase, { yes }: LocksOptions, pid: number, output: Output): Promise<ExitCode> {
  const backend = await readBackend(client, pid)
  if (backend === undefined) throw new UsageError(`there is no connection ${pid} of a client to this database`)
  if (backend.startedAt === null) {
    throw new UsageError(
      `this role may not see the connection ${pid}, so nothing says that it is the one you mean: give the URL of its role, or of one with pg_monitor and pg_signal_backend`,
    )
  }
  output.note([`pid ${pid}`, ...backendLines(backend)].join('\n'))
  if (!yes && !(await confirmed(`End the connection ${pid}?`, '--yes ends it without a question'))) {
    output.print('Nothing was ended.')
    return 1
  }
  const isEnded = await endBackend(client, backend)
  const message = isEnded
    ? `The connection ${pid} is ended. What its transaction had written is rolled back.`
    : isEnded === undefined
      ? `The connection ${pid}, or its transaction, is not the one that was shown any more: nothing was ended.`
      : `The connection ${pid} was told to end, and is still there.`
  output.print(message)
  return isEnded ? 0 : 1
}

function jsonOf({ activity, keys, names }: Locks) {
  const nameOf = (number: string | null) => (number === null ? null : (names.get(number) ?? null))
  return {
    waits: activity.waits.map(({ relation, ...wait }) => ({
      ...wait,
      table: relation && `${relation.schema}.${relation.name}`,
      key: JSON.parse(keys.get(rowName({ relation, ...wait })) ?? 'null'),
      name: nameOf(wait.advisory),
    })),
    advisory: activity.advisory.map((lock) => ({ ...lock, name: nameOf(lock.number) })),
    backends: activity.backends.map((backend) => ({ ...backend, query: backend.query && maskedQuery(backend.query) })),
    oldest: activity.oldest,
  }
}
