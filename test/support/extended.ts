import { concurrency } from '../../src/index.js'
import { type ClientOptions, useDatabase } from './clients.js'

/** A database for this test file, and clients of it with the extension, as it comes without options. */
export function useExtended() {
  const database = useDatabase()
  const connect = (options?: ClientOptions) => {
    const made = database.connect(options)
    return { ...made, db: made.client.$extends(concurrency()) }
  }
  return { database, connect }
}
