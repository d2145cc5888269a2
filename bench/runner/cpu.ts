/** CPU time as /proc has it: that of the database server, of servers beside it, and of commands that have ended. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'

const isLinux = process.platform === 'linux'
/** In ms. */
const tick = isLinux ? 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : Number.NaN

/** Reads the CPU time in ms that a server has taken since it began; `null` where that cannot be known. */
export type CpuClock = () => Promise<number | null>

/**
 * @param pid the postmaster, if it is on this machine and ours
 * @param apart a backend that works for the bench, and not for a contender
 */
export function serverCpuClock(pid: number | undefined, apart: number): CpuClock {
  if (pid === undefined || !isLinux) return async () => null
  return async () => {
    const postmaster = await stat(pid)
    if (postmaster === undefined) return null
    // The postmaster has the sum of its ended children.
    let sum = (postmaster.own + postmaster.children) * tick
    for (const child of await childrenOf(pid)) {
      if (child !== apart) sum += (await nanoseconds(child)) ?? ((await stat(child))?.own ?? 0) * tick
    }
    return sum
  }
}

/** Of processes that start no others. */
export function processesCpuClock(pids: readonly number[]): CpuClock {
  if (!isLinux) return async () => null
  return async () => {
    let sum = 0
    for (const pid of pids) sum += await nanosecondsOfThreads(pid)
    return sum
  }
}

/** The CPU time in ms of all that this process has started and that has ended; 0 where that cannot be known. */
export function cpuOfEndedChildren(): number {
  return isLinux ? parse(readFileSync('/proc/self/stat', 'utf8')).children * tick : 0
}

/** "123 (name, which may hold anything) S 1 …": the 14th to the 17th field are the CPU time, in ticks. */
function parse(text: string): { own: number; children: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number)
  return { own: user + system, children: childUser + childSystem }
}

async function stat(pid: number): Promise<{ own: number; children: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : parse(text)
}

/** Finer than ticks, in ms, where the kernel keeps it. */
async function nanoseconds(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : Number(text.split(' ')[0]) / 1e6
}

/** Of those that have not ended. */
async function nanosecondsOfThreads(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const times = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')),
  )
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0)
}

async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => undefined)
  if (list !== undefined) return list.split(' ').filter(Boolean).map(Number)
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = await Promise.all(ids.map(parentOf))
  return ids.filter((_, index) => parents[index] === pid)
}

async function parentOf(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
}
