/**
 * What the extension's types cost: the time in which `tsc` checks a program on a schema of 100
 * models, plain and extended. Fails if the extended one takes 20 % longer, or more.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { extendedProgram, plainProgram } from './programs.js'
import { MODELS, schema } from './schema.js'

const LIMIT = 1.2
const ROUNDS = 7
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TSC = join(createRequire(import.meta.url).resolve('typescript/package.json'), '..', 'bin', 'tsc')

const folder = mkdtempSync(join(tmpdir(), 'concurrency-types-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) process.on(signal, () => process.exit(code))

writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
writeFileSync(join(folder, 'schema.prisma'), schema())
writeFileSync(join(folder, 'plain.ts'), plainProgram())
writeFileSync(join(folder, 'extended.ts'), extendedProgram())
for (const program of ['plain', 'extended']) {
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  }
  writeFileSync(join(folder, `${program}.json`), JSON.stringify({ compilerOptions, files: [`${program}.ts`] }))
}
run(join(ROOT, 'scripts', 'generate.mjs'), '--schema', join(folder, 'schema.prisma'))
run(TSC, '-p', join(ROOT, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', join(folder, 'extension'))

const times = { plain: [] as number[], extended: [] as number[] }
for (let round = 0; round < ROUNDS; round++) {
  for (const program of ['plain', 'extended'] as const) times[program].push(await checkTime(program))
}
const plain = median(times.plain)
const extended = median(times.extended)
const ratio = extended / plain
console.log(`${MODELS} models, tsc check time, median of ${ROUNDS} rounds`)
console.log(`plain    ${plain.toFixed(2)} s`)
console.log(`extended ${extended.toFixed(2)} s`)
console.log(`ratio    ${ratio.toFixed(2)} (must be under ${LIMIT.toFixed(2)})`)
process.exitCode = ratio < LIMIT ? 0 : 1

/** Waits a turn first, in which a signal is heard. */
async function checkTime(program: string): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  const output = run(TSC, '-p', join(folder, `${program}.json`), '--extendedDiagnostics')
  const [, seconds] = /^Check time:\s+([\d.]+)s$/m.exec(output) ?? []
  if (seconds === undefined) throw new Error(`tsc did not say how long it took:\n${output}`)
  return Number(seconds)
}

function run(script: string, ...args: string[]): string {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (signal !== null) process.exit(1) // interrupted together with this process
  if (status !== 0) throw new Error(`${script} failed:\n${stdout}${stderr}`)
  return stdout
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}
