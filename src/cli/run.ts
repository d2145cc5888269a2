import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import type { CommandModule, ExitCode, Output } from './command.js'
import { messageOf } from './message.js'

interface Entry {
  readonly summary: string
  load(): Promise<CommandModule<object>>
}

/** The commands. Each is loaded when it is called. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  doctor: {
    summary: 'checks the database, and the settings of the client, for what would break the promises of the package',
    load: async () => (await import('./commands/doctor.js')).doctor,
  },
  init: {
    summary: 'adds version columns and the models of the package to the Prisma schema, with the migration',
    load: async () => (await import('./commands/init.js')).init,
  },
  sql: {
    summary:
      'prints the migration of the tables that your client uses, as they are in your schema, and of the triggers',
    load: async () => (await import('./commands/sql.js')).sql,
  },
  audit: {
    summary: 'looks for stock, reservations, serials and numbers of series that do not add up',
    load: async () => (await import('./commands/audit.js')).audit,
  },
  locks: {
    summary: 'shows who holds and who waits for which row or lock, since when, and with which statement',
    load: async () => (await import('./commands/locks.js')).locks,
  },
  once: {
    summary: 'runs a command when it is due, on one machine at a time',
    load: async () => (await import('./commands/once.js')).once,
  },
  report: {
    summary: 'shows where calls meet, and where a lock is needed, from what db.$contention() tells',
    load: async () => (await import('./commands/report.js')).report,
  },
}

const OUTPUT: Output = {
  print: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
}

/** Runs what the arguments ask for. It throws nothing. */
export async function runCommand(args: readonly string[], output: Output = OUTPUT): Promise<ExitCode> {
  try {
    return await parse(args, output)
  } catch (error) {
    // Commander has printed its own errors, and help is none.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    output.note(`error: ${messageOf(error)}`)
    return 2
  }
}

async function parse(args: readonly string[], output: Output): Promise<ExitCode> {
  let code: ExitCode = 0
  const program = new Command('prisma-extension-concurrency')
    .description('Checks, migrations and reports for prisma-extension-concurrency.')
    .version(version(), '-V, --version', 'prints the version of the package')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.print(text.trimEnd()),
      writeErr: (text) => output.note(text.trimEnd()),
    })
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing found, 1 findings, 2 called in a wrong way, or the work could not be done.',
    )
  const named = args.find((arg) => !arg.startsWith('-'))
  const wanted = named === 'help' ? args[args.indexOf(named) + 1] : named
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program
      .command(name)
      .summary(summary)
      .description(`${capital(summary)}.`)
    if (name !== wanted) continue
    const module = await load()
    module.describe(command).action(async (...given: unknown[]) => {
      const called = given.at(-1)
      if (called instanceof Command) code = await module.run(called.opts(), called.args, output)
    })
  }
  if (args.length === 0) program.help()
  await program.parseAsync([...args], { from: 'user' })
  return code
}

/** The file is two folders up from wherever the build puts this. */
function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String(JSON.parse(text).version)
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
