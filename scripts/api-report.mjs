// Writes etc/*.api.md: for each entry point the types that it exports, and those that they mention. A change of the public
// interface is then a change of a file that the review shows. With --check it writes nothing, and fails if the files are
// not what it would write.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = `${ROOT}etc`
// Below the packages that the declarations import. Of its own, since a test may build dist at the same time.
const WORK = `${ROOT}generated/api-${process.pid}`

process.on('exit', () => rmSync(WORK, { recursive: true, force: true }))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const declarations = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', `${WORK}/dist`], {
  cwd: ROOT,
  stdio: 'inherit',
})
if (declarations.status !== 0) process.exit(declarations.status ?? 1)

const { exports } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
const entries = Object.values(exports).flatMap(({ types }) => types?.replace('./dist/', '').replace('.d.ts', '') ?? [])
const reports = new Map(entries.map((entry) => [`${entry}.api.md`, reportOf(entry)]))

if (!process.argv.includes('--check')) {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER)
  for (const [name, text] of reports) writeFileSync(join(FOLDER, name), text)
} else {
  const written = existsSync(FOLDER) ? readdirSync(FOLDER) : []
  const names = new Set([...reports.keys(), ...written])
  const wrong = [...names].filter(
    (name) => !written.includes(name) || readFileSync(join(FOLDER, name), 'utf8') !== reports.get(name),
  )
  if (wrong.length > 0) {
    console.error(`The public types are others than etc says (${wrong.join(', ')}). Run npm run api, and commit it.`)
    process.exit(1)
  }
}

function reportOf(entry) {
  const none = { default: { logLevel: 'none' } }
  const config = ExtractorConfig.prepare({
    packageJsonFullPath: `${ROOT}package.json`,
    configObjectFullPath: undefined,
    configObject: {
      projectFolder: ROOT,
      newlineKind: 'lf',
      mainEntryPointFilePath: `${WORK}/dist/${entry}.d.ts`,
      compiler: {
        overrideTsconfig: {
          extends: `${ROOT}tsconfig.json`,
          compilerOptions: { types: [] },
          include: [`${WORK}/dist/${entry}.d.ts`],
        },
      },
      apiReport: {
        enabled: true,
        includeForgottenExports: true,
        reportFileName: `${entry}.api.md`,
        reportFolder: `${WORK}/reports`,
        reportTempFolder: `${WORK}/temp`,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        extractorMessageReporting: none,
        tsdocMessageReporting: none,
      },
    },
  })
  mkdirSync(`${WORK}/reports`, { recursive: true })
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback(message) {
      message.handled = message.logLevel !== 'error'
    },
  })
  if (!succeeded) process.exit(1)
  // Comments say which member has a comment: docs/reference has all of them.
  return readFileSync(`${WORK}/reports/${entry}.api.md`, 'utf8').replaceAll(
    /^ *\/\/ (?:@\w+.*|\(undocumented\))\n/gm,
    '',
  )
}
