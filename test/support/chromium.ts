/** The Chromium of the system, without a window, driven over its DevTools protocol through a pipe: no package is needed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const program = PROGRAMS.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)

/** Why no browser can be started here; `undefined` if one can. */
export const whyNoChromium = program === undefined ? 'chromium is not installed' : undefined

export interface Browser {
  /** Opens a file, or a URL, in a page that is as wide as said, and waits until it is there. */
  open(address: string, width: number, isDark?: boolean): Promise<Page>
  stop(): Promise<void>
}

export interface Page {
  /** The value of an expression in the page, which must be such as JSON can hold. */
  evaluate<T>(expression: string): Promise<T>
  /** Errors that were thrown, logged, or reported by the browser itself. */
  readonly errors: readonly string[]
  /** The URLs of all that it has asked for, its own among them. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

type Parameters = Readonly<Record<string, unknown>>
type Send = (method: string, parameters?: Parameters) => Promise<Record<string, unknown>>

interface Message {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

export async function startChromium(): Promise<Browser> {
  if (program === undefined) throw new Error(whyNoChromium)
  const profile = await mkdtemp(join(tmpdir(), 'concurrency-chromium-'))
  const child = spawn(
    program,
    [
      '--headless',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      '--no-first-run',
      '--hide-scrollbars',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      // Its sandbox refuses to work for root, and for most containers; it opens nothing but our own file.
      '--no-sandbox',
    ],
    // In a group of its own, which can be ended together.
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
  )
  const exited = once(child, 'exit')
  const kill = () => killGroup(child)
  process.once('exit', kill)
  const connection = new Connection(child)
  return {
    open: (address, width, isDark = false) => openPage(connection, hrefOf(address), width, isDark),
    async stop() {
      kill()
      await exited
      process.off('exit', kill)
      await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    },
  }
}

async function openPage(connection: Connection, url: string, width: number, isDark: boolean): Promise<Page> {
  const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true })
  const send: Send = (method, parameters) => connection.send(method, parameters, sessionId as string)
  const errors: string[] = []
  const requests: string[] = []
  const loaded = new Promise<void>((resolve) => {
    connection.listen(sessionId as string, (method, parameters) => {
      if (method === 'Page.loadEventFired') resolve()
      if (method === 'Network.requestWillBeSent')
        requests.push((parameters as { request: { url: string } }).request.url)
      if (isError(method, parameters)) errors.push(JSON.stringify(parameters))
    })
  })
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`)
  const isPhone = width < 700
  await send('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: isPhone })
  await send('Emulation.setEmulatedMedia', {
    features: [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }],
  })
  await send('Page.navigate', { url })
  await loaded
  return {
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, returnByValue: true })
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
      return (result as { value: T }).value
    },
    errors,
    requests,
    async close() {
      await connection.send('Target.closeTarget', { targetId })
    },
  }
}

function isError(method: string, parameters: Record<string, unknown>): boolean {
  if (method === 'Log.entryAdded') return (parameters.entry as { level: string }).level === 'error'
  if (method === 'Runtime.consoleAPICalled') return parameters.type === 'error'
  return method === 'Runtime.exceptionThrown'
}

/** Messages are JSON, each ended by a zero. */
class Connection {
  private readonly pending = new Map<
    number,
    { resolve: (value: Record<string, unknown>) => void; reject: (reason: Error) => void }
  >()
  private readonly listeners = new Map<string, (method: string, parameters: Record<string, unknown>) => void>()
  private readonly to: Writable
  private count = 0

  constructor(child: ChildProcess) {
    const [, , , to, from] = child.stdio as unknown as [null, null, null, Writable, Readable]
    this.to = to
    to.on('error', () => {}) // pending requests fail with the end of the other direction
    let rest = ''
    from.setEncoding('utf8').on('data', (text: string) => {
      const messages = (rest + text).split('\0')
      rest = messages.pop() ?? ''
      for (const message of messages) this.receive(JSON.parse(message))
    })
    from.on('close', () => {
      for (const { reject } of this.pending.values()) reject(new Error('Chromium has ended.'))
    })
  }

  listen(sessionId: string, listener: (method: string, parameters: Record<string, unknown>) => void): void {
    this.listeners.set(sessionId, listener)
  }

  send(method: string, params: Parameters = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.count
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject })
      this.to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    })
  }

  private receive({ id, sessionId = '', method = '', params = {}, result = {}, error }: Message): void {
    if (id === undefined) {
      this.listeners.get(sessionId)?.(method, params)
      return
    }
    const waiting = this.pending.get(id)
    this.pending.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(error.message))
  }
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // otherwise it has gone already
  }
}

const hrefOf = (address: string) => (/^https?:/.test(address) ? address : pathToFileURL(address).href)
