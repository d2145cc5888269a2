// Generates the Prisma client. `prisma generate` would download the schema engine, which it does
// not need for that: naming any executable as the engine keeps it from doing so.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const prisma = createRequire(import.meta.url).resolve('prisma/package.json')
const cli = join(dirname(prisma), 'build', 'index.js')
const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'generate', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'pipe'],
  encoding: 'utf8',
  env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
})
if (status !== 0) process.stderr.write(`${stdout}${stderr}`)
process.exit(status ?? 1)
