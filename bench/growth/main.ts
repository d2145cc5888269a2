/** The growth curves alone, as a table: `npm run bench:growth -- --only callers --ms 500`. */
import { parseArgs } from 'node:util'
import { interruption } from '../../examples/interruption.js'
import { startServer } from '../../test/support/server.js'
import type { GrowthCurve } from '../result.js'
import { Databases, onDatabase } from '../runner/databases.js'
import { measureGrowth } from './measure.js'
import { growthTable } from './table.js'

const { values } = parseArgs({ options: { only: { type: 'string' }, ms: { type: 'string', default: '500' } } })
const interrupted = interruption()
const server = await startServer({ durable: true })
interrupted.addEventListener('abort', server.stop)
try {
  await onDatabase(server.url, async (admin) => {
    const databases = new Databases(server.url, admin)
    const onProgress = (text: string) => void (process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`))
    const only = values.only === undefined ? {} : { only: values.only }
    const onCurve = (curve: GrowthCurve) => console.log(`${growthTable([curve])}\n`)
    await measureGrowth({ databases, ms: Number(values.ms), interrupted, ...only, onProgress, onCurve })
    await databases.dropAll()
  })
} finally {
  await server.stop()
}
