import type { Pool } from 'pg'
import { checkSetup } from '../../doctor/check.js'
import { type Finding, isConcurrencyError } from '../../errors/index.js'
import { sessionOfPool } from '../../pg/connect.js'
import { type ClientOptions, clientOptions, openClient } from '../client.js'
import type { CommandModule } from '../command.js'
import { type DatabaseOptions, databaseOptions, databaseUrl, openPool } from '../database.js'
import { writeFixes } from '../fixes.js'
import { readPooler } from '../pooler.js'

interface DoctorOptions extends DatabaseOptions, ClientOptions {
  readonly json?: boolean
  readonly role?: string
  readonly trigger?: readonly string[]
  readonly probeSchema?: string
  readonly fix?: string | true
}

/** Two for the sessions of a check, and one for the looks of a transaction that was lost. */
const CONNECTIONS = 4

export const doctor: CommandModule<DoctorOptions> = {
  describe: (command) =>
    clientOptions(databaseOptions(command))
      .option('--trigger <models...>', 'models that must have the trigger of versionTriggerSql')
      .option('--role <name>', 'the role of the application, whose privileges are checked; default: that of the URL')
      .option(
        '--probe-schema <name>',
        'also tries rows that two sessions want, on a table that is made here and dropped',
      )
      .option(
        '--fix [folder]',
        'writes the SQL that mends tables as a migration, and runs nothing; default: the folder of your migrations',
      )
      .option('--json', 'prints the findings as JSON')
      .addHelpText('after', '\nExample: prisma-extension-concurrency doctor --client ./src/db.ts'),

  async run(options, _args, output) {
    const pool = await openPool(await databaseUrl(options), CONNECTIONS)
    try {
      const findings = await findingsOf(options, pool)
      if (options.json) output.print(JSON.stringify({ findings }, null, 2))
      else output.print(textOf(findings))
      if (options.fix !== undefined)
        output.note(await writeFixes(findings, options.fix === true ? undefined : options.fix))
      return findings.some(({ severity }) => severity === 'error') ? 1 : 0
    } finally {
      await pool.end()
    }
  },
}

async function findingsOf(options: DoctorOptions, pool: Pool): Promise<readonly Finding[]> {
  try {
    const { setup } = await openClient(options, pool)
    const extras = {
      session: sessionOfPool(pool),
      pooler: await readPooler(pool),
      role: options.role,
      probeSchema: options.probeSchema,
    }
    return await checkSetup(setup, { triggers: options.trigger ?? [] }, extras)
  } catch (error) {
    if (!isConcurrencyError(error, 'CONFIGURATION')) throw error
    return error.issues.map(({ path, message }) => ({
      severity: 'error',
      code: 'CONFIGURATION',
      where: path || 'the options of the client',
      what: message,
      cost: 'The program ends when it makes its client',
      sql: undefined,
    }))
  }
}

function textOf(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'Nothing was found.'
  return findings.map(lineOf).join('\n\n')
}

function lineOf({ severity, code, where, what, cost, sql }: Finding): string {
  const mend =
    sql === undefined
      ? []
      : [
          '  mend:',
          ...sql
            .trimEnd()
            .split('\n')
            .map((line) => `    ${line}`),
        ]
  return [`${severity} ${code}: ${where}`, `  ${what}.`, `  cost: ${cost}.`, ...mend].join('\n')
}
