// npm run fuzz -- --seconds 600: distorted calls for as long as one likes. `--seed 7` repeats one round.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } })
const rounds =
  values.seed === undefined
    ? { FUZZ_SEED: String(Math.floor(Math.random() * 2 ** 31)), FUZZ_ROUNDS: String(Number.MAX_SAFE_INTEGER) }
    : { FUZZ_SEED: values.seed, FUZZ_ROUNDS: '1' }
const { status } = spawnSync('npx', ['vitest', 'run', 'test/faults/fuzz.test.ts', '--reporter', 'default'], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: { ...process.env, FUZZ_SECONDS: values.seconds, ...rounds },
})
process.exitCode = status ?? 1
