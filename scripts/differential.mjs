// Runs the differential test for as long as one likes: npm run test:differential -- --minutes 10 [--seed 1]
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } })
const { status } = spawnSync('npx', ['vitest', 'run', 'test/prisma/differential.test.ts', '--reporter', 'default'], {
  stdio: 'inherit',
  env: {
    ...process.env,
    DIFFERENTIAL_MINUTES: values.minutes,
    DIFFERENTIAL_SEED: values.seed ?? String(Math.floor(Math.random() * 2 ** 31)),
  },
})
process.exit(status ?? 1)
