import { readdir, readFile } from 'node:fs/promises'

/**
 * The command lines of the processes that run in a process group; Linux only, elsewhere there are
 * none to be seen. Left out are zombies, which only wait for their parent to take note, and the
 * compiler that tsx keeps beside each process, which ends by itself.
 */
export async function processesInGroup(group: number): Promise<string[]> {
  if (process.platform !== 'linux') return []
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(ids.map((id) => commandIfIn(group, id)))
  return commands.filter((command) => command !== undefined && !/\/esbuild\b.*--service/.test(command)) as string[]
}

async function commandIfIn(group: number, id: string): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${id}/stat`, 'utf8')
    // "123 (name, which may hold anything) S 1 456 …": state, parent, group
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(pgrp) !== group || state === 'Z') return undefined
    return (await readFile(`/proc/${id}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
  } catch {
    return undefined // it has ended meanwhile
  }
}

/** The command lines of the processes that have this text in theirs; Linux only. */
export async function processesNaming(text: string): Promise<string[]> {
  if (process.platform !== 'linux') return []
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return commands.filter((command) => command.includes(text))
}
