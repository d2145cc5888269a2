import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { processesInGroup } from './process-group.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A TypeScript file that runs in a process of its own, and in its own process group, as in a terminal. */
export interface Script {
  readonly pid: number
  /** Resolves as soon as the text has been printed; rejects if the script ends without. */
  printed(text: string): Promise<void>
  /** Sends SIGINT to the script and to all that it has started, as a terminal does. */
  pressCtrlC(): void
  /** Sends the signal to the script alone. */
  kill(signal: NodeJS.Signals): void
  /** The command lines of what still runs: the script, and what it has started. */
  running(): Promise<string[]>
  readonly ended: Promise<{ readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }>
}

/** Starts a file of this repository. The processes left of it when the test is over are killed. */
export function startScript(path: string, env: NodeJS.ProcessEnv, args: readonly string[] = []): Script {
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      process.kill(-(child.pid as number), signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // otherwise there is nobody left
    }
  }
  onTestFinished(() => signalGroup('SIGKILL'))
  return {
    pid: child.pid as number,
    printed: (text) =>
      new Promise((resolve, reject) => {
        const look = () => output.stdout.includes(text) && resolve()
        child.stdout.on('data', look)
        child.once('close', () => reject(new Error(`${path} ended without printing "${text}":\n${output.stderr}`)))
        look()
      }),
    pressCtrlC: () => signalGroup('SIGINT'),
    kill: (signal) => void child.kill(signal),
    running: () => processesInGroup(child.pid as number),
    ended: once(child, 'close').then(([exitCode]) => ({ exitCode, ...output })),
  }
}
