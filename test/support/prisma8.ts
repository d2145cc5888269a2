import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type pg from 'pg'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODULES = join(ROOT, 'test', 'prisma8', 'node_modules', '@prisma')

export type Row = Record<string, unknown>

/** The methods of a model of Prisma 8 that these tests call. */
export interface Collection {
  where(filter: Row): Collection
  first(): Promise<Row | null>
  update(data: Row): Promise<Row | null>
  updateAll(data: Row): Promise<Row[]>
  createAll(rows: readonly Row[], options: Row): Promise<Row[]>
}

export interface Client {
  readonly orm: { readonly public: Readonly<Record<string, Collection>> }
}

export interface Prisma8 {
  /** The `contract.json` that it makes of the schema. */
  readonly contract: object
  connect(pool: pg.Pool): Client
}

/** Why these tests are skipped, if they are. */
export function missing(): string | undefined {
  try {
    createRequire(import.meta.url).resolve(join(MODULES, 'orm-postgres', 'package.json'))
    return undefined
  } catch {
    return 'Prisma 8 is not installed: npm --prefix test/prisma8 ci'
  }
}

const load = (...path: string[]) => import(pathToFileURL(join(MODULES, ...path)).href)

/** Prisma 8 on the models of a schema of Prisma 7. */
export async function prisma8(schema: string): Promise<Prisma8> {
  const folder = join(ROOT, 'generated', 'prisma8')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'schema.prisma'), schema)
  const { defineConfig, prisma7Schema } = await load('orm-postgres', 'dist', 'config.mjs')
  const { executeContractEmit } = await load('orm-toolchain', 'dist', 'cli__control-api.mjs')
  const config = defineConfig({ contract: prisma7Schema(join(folder, 'schema.prisma')), output: folder })
  await executeContractEmit({ config, projectDir: folder, outputPath: folder })
  const contract = JSON.parse(await readFile(join(folder, 'contract.json'), 'utf8'))
  const { default: postgres } = await load('orm-postgres', 'dist', 'runtime.mjs')
  // The candidate reads its marker on a connection of its own, after BEGIN: a full pool would wait for itself.
  return { contract, connect: (pool) => postgres({ contractJson: contract, pg: pool, verifyMarker: false }) }
}
