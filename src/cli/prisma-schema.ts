import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { DataModel } from '../engine/data-model.js'
import { type RuntimeModel, readDataModelOf } from '../prisma/data-model.js'
import { UsageError } from './command.js'
import { prismaConfig } from './prisma-config.js'

/** A Prisma schema: its files, by their paths. */
export interface PrismaSchema {
  readonly files: readonly (readonly [path: string, text: string])[]
}

/**
 * The schema that is named, or that `prisma.config` or `package.json` names, or that is where Prisma looks for it; `undefined` where
 * there is none.
 *
 * @throws UsageError if the named one is not there
 */
export async function findSchema(named: string | undefined): Promise<PrismaSchema | undefined> {
  const given = named === undefined ? ((await prismaConfig())?.schema ?? schemaOfPackage()) : resolve(named)
  const path = given ?? ['schema.prisma', 'prisma/schema.prisma', 'prisma/schema'].find(isThere)
  if (path === undefined) return undefined
  if (!isThere(path)) throw new UsageError(`there is no Prisma schema at ${path}`)
  const isFile = statSync(path).isFile()
  const names = isFile ? [path] : readdirSync(path, { recursive: true }).map((name) => join(path, String(name)))
  const files = names.filter((name) => name.endsWith('.prisma')).sort()
  if (files.length === 0) throw new UsageError(`there is no .prisma file in ${path}`)
  return { files: files.map((file) => [file, readFileSync(file, 'utf8')]) }
}

/** The one that package.json names, as Prisma has had it before `prisma.config`. */
function schemaOfPackage(): string | undefined {
  if (!isThere('package.json')) return undefined
  const { schema }: { readonly schema?: unknown } = JSON.parse(readFileSync('package.json', 'utf8')).prisma ?? {}
  return typeof schema === 'string' ? resolve(schema) : undefined
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** All files of a schema as one text: Prisma gives them no order. */
export function textOf({ files }: PrismaSchema): string {
  return files.map(([, text]) => text).join('\n')
}

/** As much of Prisma's own description of a schema as its client has at run time. */
interface Datamodel {
  readonly models: readonly (RuntimeModel & { readonly name: string })[]
}

/**
 * The models of a schema, by Prisma's own parser. It is the one that Prisma's language server has: 3 MB that need no
 * download, and are loaded here alone.
 *
 * @throws UsageError that has Prisma's own message, if the schema is wrong
 */
export async function modelsOf(schema: PrismaSchema, defaultSchema = 'public'): Promise<DataModel> {
  const { default: parser } = await import('@prisma/prisma-schema-wasm')
  try {
    const datamodel: Datamodel = JSON.parse(parser.get_datamodel(JSON.stringify({ prismaSchema: schema.files })))
    const models = Object.fromEntries(datamodel.models.map((model) => [model.name, model]))
    return readDataModelOf({ models }, textOf(schema), defaultSchema)
  } catch (error) {
    throw new UsageError(problemOf(error))
  }
}

/** The parser throws JSON, whose message is for a terminal with colours. */
function problemOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  try {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
    return String(JSON.parse(text).message).replaceAll(/\u001b\[[\d;]*m/g, '')
  } catch {
    return text
  }
}
