// Packs the package as npm would publish it, and has the tarball checked: by publint (does every
// path in package.json exist, is it what it says?) and by attw (do the types resolve for an ES
// module, and for `require` of one?). Its source maps must name what is in it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
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
checkMaps()
run(process.execPath, attw, tarball, '--profile', 'esm-only', '--no-definitely-typed')

/** Every source that a map names must be in the tarball, or editors and debuggers find nothing. */
function checkMaps() {
  run('tar', '-xzf', tarball, '-C', folder)
  const dist = join(folder, 'package', 'dist')
  const maps = readdirSync(dist, { recursive: true }).filter((file) => file.endsWith('.map'))
  const lost = maps.flatMap((file) =>
    JSON.parse(readFileSync(join(dist, file), 'utf8')).sources.filter(
      (source) => !existsSync(join(dist, dirname(file), source)),
    ),
  )
  if (maps.length > 0 && lost.length === 0) return
  console.error(
    maps.length === 0 ? 'There are no source maps.' : `Source maps name what is not packed: ${lost.join(', ')}`,
  )
  process.exit(1)
}

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
}
