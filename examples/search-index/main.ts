import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { rebuild } from './rebuild.js'

const MACHINE = fileURLToPath(new URL('./machine.ts', import.meta.url))

await withDatabase(async (url) => {
  const db = connect(url)
  const first = spawn(process.execPath, ['--import', 'tsx', MACHINE], {
    env: { ...process.env, DATABASE_URL: url },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = once(first, 'exit')
  try {
    while ((await db.note.count()) < 2) await new Promise((resolve) => setTimeout(resolve, 50))
    console.log('The first machine is stopped after two pages, and says nothing.')
    await db.$withLease('search-index', { ttl: 30_000, wait: 60_000 }, async (lease) => {
      console.log(`The second machine has the lease with the token ${lease.token}, from page ${lease.lastProgress} on.`)
      first.kill('SIGCONT')
      await ended
      await rebuild(db, lease, async () => {})
    })
    for (const { text } of await db.note.findMany({ orderBy: { id: 'asc' } })) console.log(text)
  } finally {
    first.kill('SIGKILL')
    await db.$disconnect()
  }
})
