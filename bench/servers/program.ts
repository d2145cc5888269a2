/** Starts a program that serves until it is ended. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningServer } from './server.js'

/** In ms; a Java server on a busy machine takes its time. */
const PATIENCE = 30_000

export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly folder: string
  readonly env?: NodeJS.ProcessEnv
  /** It is ready when it accepts connections here. */
  readonly port: number
}

export async function startProgram(
  program: Program,
  watch: (pid: number) => void,
): Promise<Pick<RunningServer, 'pids' | 'stop'>> {
  const child = spawn(program.command, program.args, {
    cwd: program.folder,
    env: { ...process.env, ...program.env },
    detached: true, // Ctrl-C is for the bench, which then ends it
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-2_000)))
  }
  const started = new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  await started
  const pid = child.pid as number // it was started
  watch(pid)
  try {
    await accepts(program.port, child)
  } catch (error) {
    await end(child)
    throw new Error(`${(error as Error).message}\n${log}`)
  }
  return { pids: [pid], stop: () => end(child) }
}

async function accepts(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + PATIENCE
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended at once')
    const socket = connect(port, '127.0.0.1')
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      new Promise<false>((resolve) => socket.once('error', () => resolve(false))),
    ]).catch(() => false)
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`it does not accept connections after ${PATIENCE / 1_000} s`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exited
  clearTimeout(killer)
}
