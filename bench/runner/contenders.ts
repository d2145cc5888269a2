/** Finds the contenders, and those of them that cannot take part here. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Contender, ServerName } from '../contender.js'

const FOLDER = new URL('../contenders/', import.meta.url)
const NODE_MODULES = [new URL('../node_modules/', import.meta.url), new URL('../../node_modules/', import.meta.url)]

/** Every file below `contenders/`, ours first, each family in the order of its files' names. */
export async function findContenders(): Promise<Contender[]> {
  const found: Contender[] = []
  for (const family of ['ours', 'prisma', 'pg', 'orm', 'lock', 'queue']) {
    const files = await readdir(new URL(`${family}/`, FOLDER)).catch(() => [])
    for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
      const id = `${family}/${file.slice(0, -'.ts'.length)}`
      const { default: contender } = (await import(new URL(`${id}.ts`, FOLDER).href)) as { default?: Contender }
      if (contender === undefined) throw new Error(`contenders/${id}.ts has no default export.`)
      if (contender.id !== id) throw new Error(`contenders/${id}.ts calls itself "${contender.id}".`)
      found.push(contender)
    }
  }
  return found
}

/**
 * Why a contender cannot take part, in words for the report.
 *
 * @param servers why a server does not run; undefined for those that do
 */
export function whyMissing(
  { packages = [], programs = [], server }: Contender,
  servers: (name: ServerName) => string | undefined,
): string | undefined {
  const lacking = [
    ...packages.filter((name) => !isInstalled(name)).map((name) => `the package ${name} is not installed`),
    ...programs.filter((name) => !isOnPath(name)).map((name) => `the program ${name} is not installed`),
  ]
  const why = server === undefined ? undefined : servers(server)
  if (why !== undefined) lacking.push(why)
  return lacking.length === 0 ? undefined : `${lacking.join(', ')}; see bench/setup.sh`
}

/** Whether a package is there, in the bench's node_modules or in the root's. */
export function isInstalled(name: string): boolean {
  return NODE_MODULES.some((folder) => existsSync(fileURLToPath(new URL(`${name}/package.json`, folder))))
}

export function isOnPath(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' }).status === 0
}
