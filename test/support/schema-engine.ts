import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'

/** The SQL that makes the tables of a schema, by Prisma's own engine: in an empty database, or in one of another schema. */
export async function tablesOf(schema: string, url: string, before?: string): Promise<string> {
  const { SchemaEngine } = await engine()
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg({ connectionString: url }))
  const datamodel = (content: string) => ({ tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content }] })
  const made = await SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, adapter)
  try {
    const { stdout } = await made.diff({
      from: before === undefined ? { tag: 'empty' } : datamodel(before),
      to: datamodel(schema),
      script: true,
      exitCode: null,
      shadowDatabaseUrl: null,
      filters: { externalTables: [], externalEnums: [] },
    })
    return stdout
  } finally {
    made.free()
  }
}

interface Engine {
  readonly SchemaEngine: {
    new: (
      options: object,
      log: () => void,
      adapter: object,
    ) => Promise<{ diff(params: object): Promise<{ stdout: string }>; free(): void }>
  }
}

/** Of the process: its JavaScript, which Node keeps, works with one instance, while this file is loaded anew at times. */
const shared = globalThis as { schemaEngine?: Promise<Engine> }

/** Its own entry point imports WebAssembly as a module, which Node 20 does not take without a flag. */
function engine(): Promise<Engine> {
  shared.schemaEngine ??= load()
  return shared.schemaEngine
}

async function load(): Promise<Engine> {
  const js = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  const glue = await import(pathToFileURL(js).href)
  const wasm = await WebAssembly.compile(await readFile(js.replace(/\.js$/, '.wasm')))
  const { exports } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': glue })
  glue.__wbg_set_wasm(exports)
  ;(exports as { __wbindgen_start(): void }).__wbindgen_start()
  return glue
}
