import { checkSetup } from '../../doctor/check.js'
import type { Finding } from '../../doctor/finding.js'
import { type ClientOptions, clientOptions, openClient } from '../client.js'
import type { CommandModule } from '../command.js'
import { type DatabaseOptions, databaseOptions, databaseUrl, openPool } from '../database.js'

interface DoctorOptions extends DatabaseOptions, ClientOptions {
  readonly json?: boolean
}

/** The session that a check of the capabilities needs beside the one of the facts. */
const CONNECTIONS = 3

export const doctor: CommandModule<DoctorOptions> = {
  describe: (command) =>
    clientOptions(databaseOptions(command))
      .option('--json', 'prints the findings as JSON')
      .addHelpText('after', '\nExample: prisma-extension-concurrency doctor --client ./src/db.ts'),

  async run(options, _args, output) {
    const pool = await openPool(await databaseUrl(options), CONNECTIONS)
    try {
      const { setup } = await openClient(options, pool)
      const findings = await checkSetup(setup)
      output.print(options.json ? JSON.stringify({ findings }, null, 2) : textOf(findings))
      return findings.some(({ severity }) => severity === 'error') ? 1 : 0
    } finally {
      await pool.end()
    }
  },
}

function textOf(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'Nothing was found.'
  return findings.map(lineOf).join('\n\n')
}

function lineOf({ severity, code, where, what, cost, sql }: Finding): string {
  return [`${severity} ${code}: ${where} ${what}.`, `  cost: ${cost}.`, ...(sql ? [`  mend: ${sql}`] : [])].join('\n')
}
