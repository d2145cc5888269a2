import { Hono } from 'hono'
import type { Database } from './database.js'
import { orders } from './orders.js'
import { answerProblem, notFound } from './problem.js'
import { products } from './products.js'

/** The whole API, as a function from Request to Response. */
export function createApp(db: Database) {
  const app = new Hono()
  app.onError(answerProblem)
  app.notFound((c) => answerProblem(notFound(), c))
  app.route('/products', products(db))
  app.route('/orders', orders(db))
  return app
}
