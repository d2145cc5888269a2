import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processesNaming } from '../support/process-group.js'
import { type Script, startScript } from '../support/script.js'

// The server that tests and examples start must be gone with them, however they end.

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'server-test-'))
  await chmod(folder, 0o755) // the server may run as another user
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const start = (then = '') => startScript('test/support/server-script.ts', { TMPDIR: folder, THEN: then })
const folders = async () => (await readdir(folder)).filter((name) => name.startsWith('concurrency-postgres-'))

/** The process that clears up may outlive the script by a moment. */
async function nothingIsLeft(): Promise<void> {
  while ((await folders()).length > 0 || (await processesNaming(folder)).length > 0) await sleep(20)
}

async function running(): Promise<Script> {
  const script = start()
  await script.printed('started')
  expect(await folders()).toHaveLength(1)
  return script
}

test('a server that is stopped leaves nothing behind, and its script ends by itself', async () => {
  const { exitCode, stderr } = await start('stop').ended

  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  expect(await folders()).toEqual([])
  expect(await processesNaming(folder)).toEqual([])
})

test('Ctrl-C leaves no server and no data folder', async () => {
  const script = await running()

  script.pressCtrlC()

  await nothingIsLeft()
})

test.for(['SIGTERM', 'SIGKILL'] as const)('%s leaves no server and no data folder', async (signal) => {
  const script = await running()

  script.kill(signal)

  await nothingIsLeft()
})

test('a script that throws leaves no server and no data folder, and its exit code says so', async () => {
  const { exitCode } = await start('throw').ended

  expect(exitCode).toBe(1)
  await nothingIsLeft()
})

test('a script that exits without a stop leaves no server and no data folder', async () => {
  await start('exit').ended

  await nothingIsLeft()
})
