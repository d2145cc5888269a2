import { inject, onTestFinished } from 'vitest'
import { createDatabase, type Database } from './database.js'

/** A database of the test's own, with the migrations applied, for the test to break. */
export async function breakableDatabase(): Promise<Database> {
  const database = await createDatabase(inject('serverUrl'), inject('template'))
  onTestFinished(() => database.drop())
  return database
}
