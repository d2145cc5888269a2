/**
 * The cost of the extension's types: the time in which `tsc` checks a program on a schema of 100
 * models. Prisma types an extended client anew, whatever extends it, so the program is compared
 * with one whose extension is empty. Fails if it takes 20 % longer than that, or more.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { emptyProgram, extendedProgram, plainProgram } from './programs.js'
import { MODELS, schema } from './schema.js'

const LIMIT = 1.2
const ROUNDS = 7
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TSC = join(createRequire(import.meta.url).resolve('typescript/package.json'), '..', 'bin', 'tsc')

const PROGRAMS = { plain: plainProgram, empty: emptyProgram, extended: extendedProgram }
type Program = keyof typeof PROGRAMS
const NAMES = Object.keys(PROGRAMS) as Program[]

let child: ChildProcess | undefined
const folder = mkdtempSync(join(tmpdir(), 'concurrency-types-'))
process.on('exit', () => {
  child?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) process.on(signal, () => process.exit(code))

writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
writeFileSync(join(folder, 'schema.prisma'), schema())
for (const program of NAMES) {
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  }
  writeFileSync(join(folder, `${program}.ts`), PROGRAMS[program]())
  writeFileSync(join(folder, `${program}.json`), JSON.stringify({ compilerOptions, files: [`${program}.ts`] }))
}
await run(join(ROOT, 'scripts', 'generate.mjs'), '--schema', join(folder, 'schema.prisma'))
await run(TSC, '-p', join(ROOT, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', join(folder, 'extension'))

const times: Record<Program, number[]> = { plain: [], empty: [], extended: [] }
for (let round = 0; round < ROUNDS; round++) {
  for (const program of NAMES) times[program].push(await checkTime(program))
}
const plain = median(times.plain)
const empty = median(times.empty)
const extended = median(times.extended)
const ratio = extended / empty
console.log(`${MODELS} models, tsc check time, median of ${ROUNDS} rounds`)
console.log(`no extension          ${plain.toFixed(2)} s`)
console.log(`an empty extension    ${empty.toFixed(2)} s, ${(empty / plain).toFixed(2)} times as long`)
console.log(`this extension        ${extended.toFixed(2)} s, ${(extended / plain).toFixed(2)} times as long`)
console.log(`this to an empty one  ${ratio.toFixed(2)} (must be under ${LIMIT.toFixed(2)})`)
process.exitCode = ratio < LIMIT ? 0 : 1

async function checkTime(program: Program): Promise<number> {
  const output = await run(TSC, '-p', join(folder, `${program}.json`), '--extendedDiagnostics')
  const [, seconds] = /^Check time:\s+([\d.]+)s$/m.exec(output) ?? []
  if (seconds === undefined) throw new Error(`tsc did not say how long it took:\n${output}`)
  return Number(seconds)
}

async function run(script: string, ...args: string[]): Promise<string> {
  child = spawn(process.execPath, [script, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout?.on('data', (chunk) => (output += chunk))
  child.stderr?.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${script} failed:\n${output}`)
  return output
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}
