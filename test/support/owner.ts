import { execFileSync } from 'node:child_process'

/** The user under whom PostgreSQL runs; empty for the one who runs the tests. */
export interface Owner {
  readonly uid?: number
  readonly gid?: number
}

/** PostgreSQL refuses to run as root, so there it runs as nobody. */
export function serverOwner(): Owner {
  if (process.getuid?.() !== 0) return {}
  const idOf = (option: '-u' | '-g') => Number(execFileSync('id', [option, 'nobody'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}
