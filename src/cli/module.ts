import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isConcurrencyError } from '../errors/index.js'
import { UsageError } from './command.js'
import { messageOf } from './message.js'

const TYPESCRIPT = ['.ts', '.mts', '.cts', '.tsx']

/** Node's codes for TypeScript that it cannot take as it is: an import of `x.js` that is `x.ts`, an enum, a `.ts` at all. */
const NOT_TAKEN = [
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_MODULE_NOT_FOUND',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_INVALID_TYPESCRIPT_SYNTAX',
  'ERR_REQUIRE_ESM',
]

/**
 * The exports of a module of the application. TypeScript is loaded by Node where that can (22.18 and later take the
 * types away), or by what the command was started with, such as tsx; else by the tsx that the application has. A module
 * that fails to load has not run, so it can be loaded again.
 *
 * @throws UsageError that says what to do
 */
export async function loadModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  const file = resolve(path)
  if (!existsSync(file)) throw new UsageError(`there is no file ${path}`)
  const { href } = pathToFileURL(file)
  try {
    return await import(href)
  } catch (error) {
    if (isConcurrencyError(error)) throw error
    if (!TYPESCRIPT.includes(extname(file)) || !isNotTaken(error)) throw failed(path, error)
    await registerTsx(path, error)
  }
  try {
    // Node remembers the failure of the first one by its URL.
    return await import(`${href}?by=tsx`)
  } catch (error) {
    if (isConcurrencyError(error)) throw error
    throw failed(path, error)
  }
}

function isNotTaken(error: unknown): boolean {
  if (error instanceof SyntaxError) return true
  return typeof error === 'object' && error !== null && 'code' in error && NOT_TAKEN.includes(String(error.code))
}

async function registerTsx(path: string, cause: unknown): Promise<void> {
  try {
    // As `node --import tsx` does.
    await import(pathToFileURL(createRequire(join(process.cwd(), 'package.json')).resolve('tsx')).href)
  } catch {
    throw new UsageError(
      `${path} is TypeScript that Node ${process.versions.node} does not take as it is. Install tsx ` +
        '(npm install --save-dev tsx), and call this again; it is found by itself',
      { cause },
    )
  }
}

function failed(path: string, error: unknown): UsageError {
  return new UsageError(`${path} cannot be loaded: ${messageOf(error)}`)
}
