/**
 * Measures every way of getting concurrent writes right beside every other, on the same work, in
 * one PostgreSQL that is started for it, and writes what came out as a table and as JSON.
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { Interrupted, interruption } from '../examples/interruption.js'
import { startServer } from '../test/support/server.js'
import { type Request, readArguments, USAGE } from './runner/arguments.js'
import { runBench } from './runner/bench.js'
import { findContenders } from './runner/contenders.js'
import { Workers } from './runner/workers.js'
import { SideServers } from './servers/index.js'

const interrupted = interruption()
process.exit(await main().catch(exitCodeOf))

/** Resolves to the exit code: 1 if a contender of ours left wrong data. */
async function main(): Promise<number> {
  const contenders = await findContenders()
  let request: Request
  try {
    request = readArguments(process.argv.slice(2), contenders)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    return 2
  }
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-bench-'))
  const sideServers = new SideServers(folder)
  const workers = new Workers()
  interrupted.addEventListener('abort', () => void workers.end())
  try {
    const server = await startServer({ durable: true })
    interrupted.addEventListener('abort', server.stop)
    const observer = new pg.Client({ connectionString: server.url })
    observer.on('error', () => {}) // the query that runs fails with it
    try {
      await observer.connect()
      return await runBench({ request, contenders, server, observer, workers, sideServers, folder, interrupted })
    } finally {
      await observer.end().catch(() => {}) // it may be broken by an interruption
      await server.stop()
    }
  } finally {
    await workers.end()
    await sideServers.stop()
  }
}

function exitCodeOf(error: unknown): number {
  // An interruption makes other things fail; their messages are of no use.
  const reason: unknown = interrupted.aborted ? interrupted.reason : error
  console.error(reason instanceof Interrupted ? `\n${reason.message}` : reason)
  return reason instanceof Interrupted ? reason.exitCode : 1
}
