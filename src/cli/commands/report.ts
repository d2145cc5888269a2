import { readFile, writeFile } from 'node:fs/promises'
import type { ContentionSnapshot } from '../../events/contention.js'
import { contentionReport, type ReportFormat } from '../../report/report.js'
import { type CommandModule, UsageError } from '../command.js'
import { messageOf } from '../message.js'

interface ReportOptions {
  readonly json?: boolean
  readonly html?: boolean
  readonly out?: string
}

export const report: CommandModule<ReportOptions> = {
  describe: (command) =>
    command
      .argument('<snapshot>', 'a file, or a URL, with the JSON of db.$contention()')
      .option('--json', 'prints the snapshot and the advice as JSON')
      .option('--html', 'makes one page with charts')
      .option('--out <file>', 'writes it there')
      .addHelpText(
        'after',
        '\nExample: prisma-extension-concurrency report http://localhost:3000/contention --html --out contention.html',
      ),

  async run({ json, html, out }, [source = ''], output) {
    if (json && html) throw new UsageError('--json and --html are two reports: choose one')
    const format: ReportFormat = json ? 'json' : html ? 'html' : 'text'
    const text = await contentionReport(await readSnapshot(source), format)
    if (out === undefined) output.print(text)
    else await writeFile(out, text)
    return 0
  },
}

async function readSnapshot(source: string): Promise<ContentionSnapshot> {
  const snapshot: unknown = await read(source).catch((error: unknown) => {
    throw new UsageError(`${withoutSecrets(source)} cannot be read: ${messageOf(error)}`)
  })
  if (isSnapshot(snapshot)) return snapshot
  throw new UsageError(`${withoutSecrets(source)} is not what db.$contention() gives`)
}

async function read(source: string): Promise<unknown> {
  if (!/^https?:/.test(source)) return JSON.parse(await readFile(source, 'utf8'))
  // Of a URL that it does not take, fetch has all of it in its message.
  if (!URL.canParse(source)) throw new Error('it is no URL')
  const { username, password } = new URL(source)
  if (username || password) throw new Error('fetch takes no user and no password in a URL; save the JSON in a file')
  const response = await fetch(source)
  if (!response.ok) throw new Error(`the server answers ${response.status}`)
  return response.json()
}

/** A URL may have a password in it, and a token among its parameters. */
function withoutSecrets(source: string): string {
  return source.replace(/\/\/.*@/s, '//').replace(/\?.*$/s, '')
}

function isSnapshot(value: unknown): value is ContentionSnapshot {
  return (
    typeof value === 'object' &&
    value !== null &&
    'hot' in value &&
    Array.isArray(value.hot) &&
    'operations' in value &&
    Array.isArray(value.operations) &&
    'since' in value &&
    'until' in value
  )
}
