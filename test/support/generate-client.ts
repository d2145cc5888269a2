import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { PrismaClient as Client } from '../../generated/prisma/client.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Prisma's own client of a schema with these models, made for the test and deleted with it, or when the caller says so. */
export async function generateClient(
  models: string,
  whenOver: (cleanUp: () => Promise<void>) => void = onTestFinished,
  relationMode: 'foreignKeys' | 'prisma' = 'foreignKeys',
): Promise<{ PrismaClient: typeof Client }> {
  const folder = await mkdtemp(join(ROOT, 'generated/test-'))
  whenOver(() => rm(folder, { recursive: true, force: true }))
  const generator = `generator client {
  provider               = "prisma-client"
  output                 = "./client"
  generatedFileExtension = "ts"
  importFileExtension    = "js"
}
datasource db {
  provider     = "postgresql"
  relationMode = "${relationMode}"
}
`
  const schema = join(folder, 'schema.prisma')
  await writeFile(schema, `${generator}\n${models}`)
  const generate = spawn(process.execPath, ['scripts/generate.mjs', '--schema', schema], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  const [exitCode] = await once(generate, 'close')
  if (exitCode !== 0) throw new Error('Prisma did not accept the schema.')
  return import(join(folder, 'client/client.ts'))
}
