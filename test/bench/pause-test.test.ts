import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import type { BenchResult } from '../../bench/result.js'
import { startScript } from '../support/script.js'

test('the pause test shows which holders overwrite what was done while they were stopped', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const output = join(folder, 'result.json')
  const chosen = ['prisma/unguarded', 'lock/lock-table', 'ours/lease-fenced']
  const args = ['--pause-test', ...chosen.flatMap((id) => ['--contender', id]), '--output', output]

  // pg warns of a ROLLBACK that is sent while a statement runs, as after a stop.
  const env = { DATABASE_URL: inject('serverUrl'), NODE_OPTIONS: '--no-deprecation' }
  const { stdout, stderr } = await startScript('bench/main.ts', env, args).ended

  expect(stderr, stdout).toBe('')
  const { pauseTest }: BenchResult = JSON.parse(await readFile(output, 'utf8'))
  const corrupted = pauseTest.map(({ contender, moment, corrupted, error }) => [contender, moment, corrupted, error])
  expect(corrupted).toEqual([
    ['ours/lease-fenced', 'thinking', 0, undefined],
    // The database ends a transaction that is idle for so long.
    ['ours/lease-fenced', 'writing', 0, undefined],
    ['prisma/unguarded', 'thinking', 5, undefined],
    ['prisma/unguarded', 'writing', 5, undefined],
    // Its holder looks at the clock before it writes; between the look and the write nothing helps.
    ['lock/lock-table', 'thinking', 0, undefined],
    ['lock/lock-table', 'writing', 5, undefined],
  ])
})
