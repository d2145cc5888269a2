// npm run fuzz -- --seconds 600 [--seed 7]: distorted calls for as long as one likes.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } })
const seed = { FUZZ_SEED: values.seed ?? String(Math.floor(Math.random() * 2 ** 31)) }
const { status } = spawnSync('npx', ['vitest', 'run', 'test/fuzz.test.ts'], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: { ...process.env, FUZZ_SECONDS: values.seconds, ...seed },
})
process.exitCode = status ?? 1
