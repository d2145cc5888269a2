import { randomUUID } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { UsageError } from '../command.js'
import { messageOf } from '../message.js'

/** A file that is to be written. */
export interface FileChange {
  readonly path: string
  /** Its text when it was read; `undefined` where there is to be none yet. */
  readonly before: string | undefined
  readonly after: string
}

/**
 * Writes all files, or none. Each is written beside its place first, and what is there is copied, so that what can fail
 * fails before the first one is there. To put a copy back takes no space, which a full disk would not have.
 *
 * @throws UsageError if a file is not as it was when it was read, or cannot be written
 */
export function writeAll(changes: readonly FileChange[]): void {
  const files = changes.map((change) => ({
    ...change,
    path: existsSync(change.path) ? realpathSync(change.path) : change.path,
  }))
  files.forEach(checkAsRead)
  const undo: (() => void)[] = []
  // A signal waits until all of them are in their places.
  const later = () => {}
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, later)
  try {
    const written = files.map((file) => ({ ...file, ...writeBeside(file, undo) }))
    for (const { path, temporary, copy } of written) {
      renameSync(temporary, path)
      undo.push(() => (copy === undefined ? rmSync(path, { force: true }) : renameSync(copy, path)))
    }
    for (const { copy } of written) if (copy !== undefined) rmSync(copy, { force: true })
  } catch (error) {
    for (const step of undo.reverse()) step()
    throw new UsageError(`nothing was written: ${messageOf(error)}`)
  } finally {
    for (const signal of signals) process.off(signal, later)
  }
}

function checkAsRead({ path, before }: FileChange): void {
  if (before === undefined) {
    if (existsSync(path)) throw new UsageError(`${path} is there already: nothing was written`)
  } else if (!readFileSync(path).equals(Buffer.from(before))) {
    throw new UsageError(`${path} was changed meanwhile, or is no UTF-8: nothing was written`)
  }
}

/** The files of a change until all are in their places. */
interface Beside {
  readonly temporary: string
  /** Of the file that is there. */
  readonly copy: string | undefined
}

function writeBeside({ path, before, after }: FileChange, undo: (() => void)[]): Beside {
  const folder = mkdirSync(dirname(path), { recursive: true })
  if (folder !== undefined) undo.push(() => rmSync(folder, { recursive: true, force: true }))
  const temporary = `${path}.${randomUUID()}.tmp`
  const copy = before === undefined ? undefined : `${path}.${randomUUID()}.old`
  for (const made of [temporary, copy]) if (made !== undefined) undo.push(() => rmSync(made, { force: true }))
  if (copy !== undefined) copyFileSync(path, copy)
  writeFileSync(temporary, after, { flag: 'wx', ...(before !== undefined && { mode: statSync(path).mode }) })
  return { temporary, copy }
}
