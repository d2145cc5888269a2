// npm run outbox:storm -- --messages 100000: four relays that are killed again and again, first messages of keys that fail,
// transactions that commit long after later ones; judged from the tables. `--publish` writes the figures into
// docs/reliability.md.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { messages: { type: 'string', default: '100000' }, publish: { type: 'boolean', default: false } },
})
const result = join(mkdtempSync(join(tmpdir(), 'outbox-storm-')), 'result.json')
const { status } = spawnSync(
  'npx',
  ['vitest', 'run', 'test/processes/outbox.test.ts', '-t', 'four relays', '--reporter', 'default'],
  {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, STORM_MESSAGES: values.messages, STORM_RESULT: result },
  },
)
process.exitCode = status ?? 1
if (status === 0) {
  const { messages, again, keys, kills, seconds } = JSON.parse(readFileSync(result, 'utf8'))
  const table = [
    '| | |',
    '|---|---|',
    `| Messages | ${messages.toLocaleString('en')} of ${keys.toLocaleString('en')} keys, in ${seconds} s |`,
    `| Relays killed in mid-delivery | ${kills} |`,
    `| Messages that took effect in a later delivery | ${again.toLocaleString('en')} |`,
    '| Lost, doubled, out of order | 0 |',
  ].join('\n')
  console.log(table)
  if (values.publish) publish(table)
}

function publish(table) {
  const path = fileURLToPath(new URL('../docs/reliability.md', import.meta.url))
  const [before, rest] = readFileSync(path, 'utf8').split('<!-- outbox -->\n')
  const [, after] = rest.split('<!-- end of outbox -->')
  writeFileSync(path, `${before}<!-- outbox -->\n${table}\n<!-- end of outbox -->${after}`)
}
