import { existsSync } from 'node:fs'
import type { Finding, FindingCode } from '../errors/index.js'
import { UsageError } from './command.js'
import { writeAll } from './init/write.js'
import { migrationFiles, migrationsFolder } from './migration-file.js'
import { findSchema } from './prisma-schema.js'

/** The findings about tables. Others are about a role, a setting or a pool, which no migration of the schema is for. */
const IN_MIGRATIONS: readonly FindingCode[] = [
  'COLUMN_MISSING',
  'COLUMN_REQUIRED',
  'COLUMN_TYPE',
  'FOREIGN_KEY_MISSING',
  'KEY_MISSING',
  'TABLE_MISSING',
  'TRIGGER_DISABLED',
  'TRIGGER_MISSING',
  'TRIGGER_OUTDATED',
  'VERSION_DEFAULT',
  'VERSION_NULLABLE',
]

/**
 * Writes the SQL that mends the tables as a migration, in the form of Prisma's, and runs nothing.
 *
 * @param named the folder of the migrations; default: that of the Prisma schema
 * @returns a line that says what was done
 */
export async function writeFixes(findings: readonly Finding[], named: string | undefined): Promise<string> {
  const mended = findings.filter(({ code, sql }) => sql !== undefined && IN_MIGRATIONS.includes(code))
  if (mended.length === 0) return 'No migration was written: no finding is about a table that SQL would mend.'
  const folder = named ?? (await migrationsFolder(await findSchema(undefined)))
  if (named === undefined && !existsSync(folder)) {
    throw new UsageError(`there is no folder ${folder}: name that of your migrations, --fix <folder>`)
  }
  const text = mended.map(({ code, where, what, sql }) => `-- ${code}: ${where}\n-- ${what}.\n${sql?.trimEnd()}\n`)
  const files = migrationFiles(folder, 'mend_concurrency', text.join('\n'))
  writeAll(files)
  const path = files.at(-1)?.path
  return `Written, and not run: ${path}. Read it before you apply it.`
}
