// Packs the package as npm would publish it, and has the tarball checked: by publint (does every
// path in package.json exist, is it what it says?) and by attw (do the types resolve for an ES
// module, and for `require` of one?).
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { resolve } = createRequire(import.meta.url)
const publint = join(dirname(resolve('publint')), 'cli.js')
const attw = join(dirname(resolve('@arethetypeswrong/cli/package.json')), 'dist', 'index.js')

const folder = mkdtempSync(join(tmpdir(), 'concurrency-package-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) process.on(signal, () => process.exit(code))

run('npm', 'pack', '--silent', '--pack-destination', folder)
const [name] = readdirSync(folder)
const tarball = join(folder, name)
run(process.execPath, publint, 'run', tarball, '--strict')
run(process.execPath, attw, tarball, '--profile', 'esm-only', '--no-definitely-typed')

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
}
