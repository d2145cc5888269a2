import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from './command.js'
import { messageOf } from './message.js'

/** The configuration of Prisma (`prisma.config.ts`). Its paths are absolute. */
export interface PrismaConfig {
  readonly schema: string | undefined
  readonly migrations: string | undefined
  readonly url: string | undefined
}

/** The parts of `@prisma/config` that are used here. */
interface ConfigPackage {
  loadConfigFromFile(input: { readonly configRoot: string }): Promise<{
    readonly resolvedPath: string | null
    readonly config?: {
      readonly schema?: string
      readonly migrations?: { readonly path?: string }
      readonly datasource?: { readonly url?: string }
    }
    readonly error?: { readonly error?: Error }
  }>
}

const NAMES = ['prisma.config', '.config/prisma']
const EXTENSIONS = ['js', 'ts', 'mjs', 'cjs', 'mts', 'cts']

/**
 * The configuration of Prisma in this folder, read by Prisma's own package; `undefined` where there is none.
 *
 * @throws UsageError if it cannot be read
 */
export async function prismaConfig(folder = process.cwd()): Promise<PrismaConfig | undefined> {
  const isThere = NAMES.some((name) => EXTENSIONS.some((extension) => existsSync(join(folder, `${name}.${extension}`))))
  if (!isThere) return undefined
  const { loadConfigFromFile } = await configPackage(folder)
  const { config, resolvedPath, error } = await loadConfigFromFile({ configRoot: folder })
  if (error)
    throw new UsageError(`${resolvedPath ?? 'prisma.config'} cannot be read: ${messageOf(error.error ?? error)}`)
  if (config === undefined || resolvedPath === null) return undefined
  const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(dirname(resolvedPath), path))
  return {
    schema: absolute(config.schema),
    migrations: absolute(config.migrations?.path),
    url: config.datasource?.url,
  }
}

/** It is a dependency of `prisma`, which the application has. */
async function configPackage(folder: string): Promise<ConfigPackage> {
  try {
    const prisma = createRequire(join(folder, 'package.json')).resolve('prisma/package.json')
    return await import(pathToFileURL(createRequire(prisma).resolve('@prisma/config')).href)
  } catch (error) {
    throw new UsageError('there is a prisma.config, but the package prisma is not installed here', { cause: error })
  }
}
