import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { run } from './run.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const { resolve } = createRequire(import.meta.url)
const TSC = join(dirname(resolve('typescript/package.json')), 'bin', 'tsc')
const TSX = pathToFileURL(resolve('tsx')).href
const DECLARATIONS = join(ROOT, 'test', 'support', 'declarations-script.ts')

/** An app of its own in a temporary folder, with the package installed in it from its tarball. */
export interface FreshApp {
  /** Where the package was installed. */
  readonly packageFolder: string
  /** Where the app itself is. */
  readonly folder: string
  /** Compiles the app as its own tsconfig.json says. */
  compile(): Promise<void>
  /** Checks the files that a configuration of TypeScript names, and writes their declarations. */
  declare(config: string): Promise<void>
  /** Runs a file of the app with Node, and gives what it printed. */
  node(file: string, env: NodeJS.ProcessEnv): Promise<string>
  remove(): Promise<void>
}

/** Makes an app of a folder of files: packs the package, installs it, and generates the client. */
export async function createFreshApp(files: string): Promise<FreshApp> {
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-app-'))
  try {
    const app = join(folder, 'app')
    await cp(files, app, { recursive: true })
    await install(await pack(join(folder, 'package')), app)
    await run(process.execPath, [join(ROOT, 'scripts', 'generate.mjs'), '--schema', 'schema.prisma'], app)
    return {
      packageFolder: join(app, 'node_modules', 'prisma-extension-concurrency'),
      folder: app,
      compile: async () => void (await run(process.execPath, [TSC, '-p', '.'], app)),
      declare: async (config) => void (await run(process.execPath, ['--import', TSX, DECLARATIONS, config], app)),
      node: (file, env) => run(process.execPath, [file], app, env),
      remove: () => rm(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Packs what is built in the repository, as `pretest` has just done. */
async function pack(folder: string): Promise<string> {
  await mkdir(folder)
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], ROOT)
  const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack has left no tarball.')
  return join(folder, tarball)
}

/**
 * npm installs the tarball and the dependencies of the package, so a dependency that is not
 * declared is missing. The app's own dependencies are linked from the repository instead, which
 * needs no network, and are in the versions that all other tests run with.
 */
async function install(tarball: string, app: string): Promise<void> {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--legacy-peer-deps']
  await run('npm', ['install', ...quiet, tarball], app)
  await mkdir(join(app, 'node_modules', '@prisma'), { recursive: true })
  for (const name of ['prisma', '@prisma/client', '@prisma/adapter-pg', '@types', 'pg']) {
    await symlink(join(ROOT, 'node_modules', name), join(app, 'node_modules', name))
  }
}
