import { onTestFinished } from 'vitest'
import { type ConcurrencyOptions, concurrency } from '../../src/index.js'
import { type ClientOptions, createClient } from './clients.js'

/** A client with the extension, at a URL of the test's own, until the test ends. */
export function connectTo(url: string, options?: ClientOptions & { readonly retry?: ConcurrencyOptions['retry'] }) {
  const made = createClient(url, options)
  onTestFinished(() => made.client.$disconnect())
  return { ...made, db: made.client.$extends(concurrency(options?.retry ? { retry: options.retry } : {})) }
}
