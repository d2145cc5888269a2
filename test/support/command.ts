import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MAIN = join(ROOT, 'dist/cli/main.js')

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the built command as a process of its own, in the folder of the repository, or in another one. */
export async function runCommand(
  args: readonly string[],
  { env = {}, cwd = ROOT }: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<CommandResult> {
  const { DATABASE_URL: _, ...inherited } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...inherited, ...env } })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, ...output }
}

/** Starts the built command. If it still runs when the test is over, it is killed. */
export function startCommand(args: readonly string[], env: Readonly<Record<string, string>>) {
  const { DATABASE_URL: _, ...inherited } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: ROOT, env: { ...inherited, ...env } })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { output, ended, kill: (signal: NodeJS.Signals) => child.kill(signal), endInput: () => child.stdin.end() }
}

/** The program that gives a command a terminal: of util-linux, or of BSD, which takes other arguments. */
export const hasTerminal = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0

/** Runs the built command on a terminal. Each answer is typed once the question before it is printed. */
export async function runOnTerminal(
  args: readonly string[],
  answers: readonly (readonly [question: string, keys: string])[],
  { env = {}, cwd = ROOT }: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<{ readonly code: number | null; readonly text: string }> {
  const { DATABASE_URL: _, ...inherited } = process.env
  const command = [process.execPath, MAIN, ...args].map((part) => `'${part}'`).join(' ')
  const child = spawn('script', ['-qec', `stty cols 100 rows 40; ${command}`, '/dev/null'], {
    cwd,
    env: { ...inherited, ...env },
  })
  const left = [...answers]
  let text = ''
  let read = 0
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data
    const [question, keys] = left[0] ?? []
    if (question === undefined || keys === undefined || !text.slice(read).includes(question)) return
    read = text.length
    left.shift()
    // One key after the other, as they are typed.
    for (const key of keys) child.stdin.write(key)
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, text }
}

/** A folder with these files, and the packages of the repository, as that of an application. It is gone after the test. */
export async function appFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-app-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}

/**
 * The blocks of text that the page on the commands shows of a command, without its help, with every time and
 * process the same. So what was printed can be compared with them.
 */
export async function examplesOf(name: string): Promise<string[]> {
  const page = await readFile(join(ROOT, 'docs/guide/commands.md'), 'utf8')
  const [, section = ''] = page.split(`\n## ${name}\n`)
  const own = section.split('\n## ')[0] ?? ''
  const blocks = Array.from(own.matchAll(/^```text\n([\s\S]*?)^```$/gm), ([, text = '']) => text)
  return blocks.filter((text) => !text.startsWith('Usage: ')).map(withoutNumbers)
}

/** `3.2 s` and `12 ms` are the same time, and pid 4702 is the same process as any. */
export function withoutNumbers(text: string): string {
  return text.replaceAll(/\d+(?:\.\d+)? (?:ms|s|min|h)\b/g, 'TIME').replaceAll(/\bpid \d+/g, 'pid N')
}
