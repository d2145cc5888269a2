import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding, FindingCode } from '../errors/index.js'
import { UsageError } from './command.js'
import { prismaConfig } from './prisma-config.js'

/** The findings about tables. Others are about a role, a setting or a pool, which no migration of the schema is for. */
const IN_MIGRATIONS: readonly FindingCode[] = [
  'COLUMN_MISSING',
  'COLUMN_TYPE',
  'KEY_MISSING',
  'TRIGGER_DISABLED',
  'TRIGGER_MISSING',
  'TRIGGER_OUTDATED',
  'VERSION_DEFAULT',
  'VERSION_NULLABLE',
]

/**
 * Writes the SQL that mends the tables as a migration, in the form of Prisma's, and runs nothing.
 *
 * @param named the folder of the migrations; default: the one that `prisma.config` names, or `prisma/migrations`
 * @returns a line that says what was done
 */
export async function writeFixes(findings: readonly Finding[], named: string | undefined): Promise<string> {
  const mended = findings.filter(({ code, sql }) => sql !== undefined && IN_MIGRATIONS.includes(code))
  if (mended.length === 0) return 'No migration was written: no finding is about a table that SQL would mend.'
  const folder = named ?? (await prismaConfig())?.migrations ?? 'prisma/migrations'
  if (named === undefined && !existsSync(folder)) {
    throw new UsageError(`there is no folder ${folder}: name that of your migrations, --fix <folder>`)
  }
  const moment = new Date().toISOString().replaceAll(/\D/g, '').slice(0, 14)
  const path = join(folder, `${moment}_mend_concurrency`)
  await mkdir(path, { recursive: true })
  const text = mended.map(({ code, where, what, sql }) => `-- ${code}: ${where}\n-- ${what}.\n${sql?.trimEnd()}\n`)
  await writeFile(join(path, 'migration.sql'), text.join('\n'))
  return `Written, and not run: ${join(path, 'migration.sql')}. Read it before you apply it.`
}
