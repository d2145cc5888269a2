// npm run faults -- --minutes 45: the campaign of faults for as long as one likes, or until `--calls 1000000` are made.
// `--seed 7` begins with that round, `--result FILE` writes the figures down, `--folder FOLDER` keeps the logs of a round
// that broke a promise. `--publish` writes the figures into docs/reliability.json, and their table into the page.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 24)) },
    round: { type: 'string', default: '30' },
    calls: { type: 'string', default: 'Infinity' },
    result: { type: 'string' },
    publish: { type: 'boolean', default: false },
    folder: { type: 'string' },
  },
})
const DOCS = fileURLToPath(new URL('../docs/', import.meta.url))
const result = values.publish ? `${DOCS}reliability.json` : values.result && resolve(values.result)
const { status } = spawnSync(
  'npx',
  ['vitest', 'run', 'test/faults/campaign/campaign.test.ts', '--reporter', 'default'],
  {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: {
      ...process.env,
      FAULTS_SECONDS: String(Number(values.minutes) * 60),
      FAULTS_SEED: values.seed,
      FAULTS_ROUND: values.round,
      FAULTS_CALLS: values.calls,
      ...(result ? { FAULTS_RESULT: result } : {}),
      ...(values.folder ? { FAULTS_FOLDER: resolve(values.folder) } : {}),
    },
  },
)
process.exitCode = status ?? 1
if (values.publish && status === 0) publish(JSON.parse(readFileSync(result, 'utf8')))

/** Writes the table of the figures into the page, between its two marks. */
function publish({ seeds, rounds, seconds, calls, outcomes, faults, lost, violations, longest, growth }) {
  const list = (counts) => Object.entries(counts).map(([name, count]) => `${name} ${count.toLocaleString('en')}`)
  const rows = [
    [
      'Calls',
      `${calls.toLocaleString('en')} in ${rounds} rounds, seeds ${seeds.join(' to ')}, in ${Math.round(seconds / 60)} minutes`,
    ],
    ['Outcomes', list(outcomes).join(', ')],
    ['Faults', list(faults).join(', ')],
    ['Promises broken', violations],
    ['Gone with an asynchronous standby, or replays of another process', lost.toLocaleString('en')],
    ['The longest call with a deadline of 3 s', `${longest} ms`],
    ['The most that a heap has grown by', `${(growth / 2 ** 20).toFixed(1)} MiB`],
  ]
  const table = ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
  const page = readFileSync(`${DOCS}reliability.md`, 'utf8')
  const [before, rest] = page.split('<!-- figures -->\n')
  const [, after] = rest.split('<!-- end of figures -->')
  spawnSync('npx', ['biome', 'format', '--write', `${DOCS}reliability.json`], { shell: process.platform === 'win32' })
  writeFileSync(`${DOCS}reliability.md`, `${before}<!-- figures -->\n${table}\n<!-- end of figures -->${after}`)
}
