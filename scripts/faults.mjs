// npm run faults -- --minutes 45: the campaign of faults for as long as one likes. `--seed 7` begins with that round,
// `--result FILE` writes the figures down, `--folder FOLDER` keeps the logs of a round that broke a promise.
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 24)) },
    round: { type: 'string', default: '30' },
    result: { type: 'string' },
    folder: { type: 'string' },
  },
})
const { status } = spawnSync('npx', ['vitest', 'run', 'test/faults/campaign/campaign.test.ts'], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: {
    ...process.env,
    FAULTS_SECONDS: String(Number(values.minutes) * 60),
    FAULTS_SEED: values.seed,
    FAULTS_ROUND: values.round,
    ...(values.result ? { FAULTS_RESULT: resolve(values.result) } : {}),
    ...(values.folder ? { FAULTS_FOLDER: resolve(values.folder) } : {}),
  },
})
process.exitCode = status ?? 1
