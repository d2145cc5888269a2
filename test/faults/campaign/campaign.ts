import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from '../../support/database.js'
import { startEmbedded } from '../../support/server.js'
import { bundleWorker } from './bundle.js'
import type { Violation } from './checks.js'
import { type RoundOptions, type RoundResult, runRound } from './round.js'
import { query, SETTINGS } from './server.js'

/** Connections are broken by the thousand, and the machine has better things to do than to hash their password. */
const CHEAP_PASSWORD = `SET scram_iterations = 1; ALTER ROLE postgres PASSWORD 'postgres'`

/** A server, a template and a worker for rounds of the campaign. */
export async function openCampaign() {
  const server = await startEmbedded({ settings: SETTINGS })
  await query(server.url, CHEAP_PASSWORD)
  const folder = process.env.FAULTS_FOLDER ?? (await mkdtemp(join(tmpdir(), 'concurrency-faults-')))
  await mkdir(folder, { recursive: true })
  const template = await createDatabase(server.url)
  const worker = await bundleWorker()
  return {
    folder,
    round: (options: Pick<RoundOptions, 'seed' | 'duration'> & Partial<RoundOptions>): Promise<RoundResult> =>
      runRound({ server, template: new URL(template.url).pathname.slice(1), worker: worker.file, folder, ...options }),
    async close() {
      await worker.remove()
      await server.stop()
    },
  }
}

/** Each violation with its history: a call a line, in the order in which they began. */
export function describe({ seed }: RoundResult, violations: readonly Violation[]): string {
  return violations
    .slice(0, 10)
    .map(({ what, history }) => {
      const lines = history
        .slice(0, 60)
        .map(
          ({ id, kind, facts, from, to, outcome, answer }) =>
            `  ${from}–${to ?? '?'} ${id} ${kind}(${facts}) ${outcome}: ${JSON.stringify(answer)}`,
        )
      return [`round ${seed}: ${what}`, ...lines].join('\n')
    })
    .join('\n\n')
}
