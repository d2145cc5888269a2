import type { Command } from 'commander'
import type { Pool } from 'pg'
import { UsageError } from './command.js'
import { maskedUrl, messageOf } from './message.js'
import { prismaConfig } from './prisma-config.js'

export interface DatabaseOptions {
  readonly url?: string
}

export function databaseOptions(command: Command): Command {
  return command.option('--url <url>', 'the database; default: DATABASE_URL, or the one that prisma.config names')
}

/** The URL of the database. The configuration of Prisma is looked at last, since it may set `DATABASE_URL` from a file. */
export async function databaseUrl({ url }: DatabaseOptions): Promise<string> {
  const found = url ?? process.env.DATABASE_URL ?? (await prismaConfig())?.url ?? process.env.DATABASE_URL
  if (found === undefined || found === '') throw new UsageError('no database: set DATABASE_URL, or give --url')
  if (/^postgres(?:ql)?:\/\/./i.test(found)) return found
  throw new UsageError(
    `${maskedUrl(found)} is not the URL of a PostgreSQL database: postgresql://user@host:5432/database`,
  )
}

/**
 * A pool of connections to the database, which the caller ends.
 *
 * @throws UsageError if the database does not answer, or `pg` is not installed
 */
export async function openPool(url: string, max: number): Promise<Pool> {
  const { Pool } = await loadPg()
  const pool = new Pool({ connectionString: url, max, application_name: 'prisma-extension-concurrency' })
  pool.on('error', () => {}) // the statement that was under way has the error
  try {
    ;(await pool.connect()).release()
    return pool
  } catch (error) {
    await pool.end()
    throw new UsageError(`the database ${maskedUrl(url)} cannot be reached: ${messageOf(error)}`)
  }
}

/** @throws UsageError if it is not installed */
export async function loadPg(): Promise<typeof import('pg')['default']> {
  const { default: pg } = await import('pg').catch((error: unknown) => {
    throw new UsageError('this command needs the package pg: npm install --save-dev pg', { cause: error })
  })
  return pg
}
