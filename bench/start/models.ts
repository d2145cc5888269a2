/** A schema of many models, with those that the ERP needs, and its client in JavaScript. */
import { spawnSync } from 'node:child_process'
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { serialsSchema, seriesSchema, stockSchema } from '../../dist/erp.js'
import { schema } from '../types/schema.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Generates the client of so many models in the folder, and resolves to the path of its module. A program
 * has it compiled before it is started: so it is here.
 */
export async function generateClient(folder: string, models: number): Promise<string> {
  const erp = [stockSchema(), serialsSchema(), seriesSchema()]
  const own = erp.join('\n').match(/^model /gm)?.length ?? 0
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'schema.prisma'), [schema(models - own), ...erp].join('\n'))
  const args = [join(ROOT, 'scripts', 'generate.mjs'), '--schema', join(folder, 'schema.prisma')]
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  const client = join(folder, 'client')
  const files = readdirSync(client, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  await build({
    entryPoints: files.map((name) => join(client, name)),
    outdir: client,
    format: 'esm',
    logLevel: 'error',
  })
  return join(client, 'client.js')
}
