import { InvalidArgumentError } from 'commander'
import { sessionOfPool } from '../../pg/connect.js'
import { type AuditFinding, checksOf } from '../audit.js'
import { type ClientOptions, clientOptions, openClient } from '../client.js'
import { type CommandModule, type Output, UsageError } from '../command.js'
import { type DatabaseOptions, databaseOptions, databaseUrl, openPool } from '../database.js'

interface AuditOptions extends DatabaseOptions, ClientOptions {
  readonly limit: number
  readonly json?: boolean
}

const PARTS = ['stock', 'serials', 'series']
const CONNECTIONS = 1
const LIMIT = 1_000

export const audit: CommandModule<AuditOptions> = {
  describe: (command) =>
    clientOptions(databaseOptions(command))
      .argument('[parts...]', `of ${PARTS.join(', ')}; default: all that the client has`)
      .option('--limit <n>', 'so many findings of each kind of check are printed', limitOf, LIMIT)
      .option('--json', 'prints the findings as JSON')
      .addHelpText('after', '\nExample: prisma-extension-concurrency audit stock --client ./src/db.ts'),

  async run({ limit, json, ...options }, args, output) {
    const unknown = args.find((part) => !PARTS.includes(part))
    if (unknown !== undefined) throw new UsageError(`${unknown} is none of ${PARTS.join(', ')}`)
    const pool = await openPool(await databaseUrl(options), CONNECTIONS)
    try {
      const { setup } = await openClient(options, pool)
      const absent = args.find((part) => setup.features.every(({ name }) => name !== part))
      if (absent !== undefined) throw new UsageError(`the client has no ${absent}`)
      const wanted = PARTS.filter((part) => args.length === 0 || args.includes(part))
      const features = wanted.flatMap((part) => setup.features.filter(({ name }) => name === part))
      if (features.length === 0) throw new UsageError(`the client has none of ${PARTS.join(', ')}`)
      const report = new Report(limit, json === true, output)
      // The database is that of the command, wherever the client of the application would connect.
      const session = sessionOfPool(pool)
      for (const check of features.flatMap((feature) => checksOf(session, feature))) await report.add(check())
      report.end()
      return report.isEmpty ? 0 : 1
    } finally {
      await pool.end()
    }
  },
}

/** Prints findings as they come, so that no more than one of them is held; as JSON they are a list of so many. */
class Report {
  readonly #limit: number
  readonly #isJson: boolean
  readonly #output: Output
  readonly #findings: AuditFinding[] = []
  isEmpty = true
  #isCut = false

  constructor(limit: number, isJson: boolean, output: Output) {
    this.#limit = limit
    this.#isJson = isJson
    this.#output = output
  }

  async add(findings: AsyncIterable<AuditFinding>): Promise<void> {
    let count = 0
    for await (const finding of findings) {
      this.isEmpty = false
      if (++count > this.#limit) {
        this.#isCut = true
        return
      }
      if (this.#isJson) this.#findings.push(finding)
      else this.#output.print(`${finding.code} ${finding.where}: ${finding.what}.`)
    }
  }

  end(): void {
    if (this.#isJson) this.#output.print(JSON.stringify({ findings: this.#findings, isCut: this.#isCut }, null, 2))
    else if (this.isEmpty) this.#output.print('Everything adds up.')
    else if (this.#isCut) this.#output.print(`There is more: --limit prints more than ${this.#limit} of a kind.`)
  }
}

function limitOf(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit > 0) return limit
  throw new InvalidArgumentError('It must be a whole number above 0.')
}
