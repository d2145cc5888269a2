import { Hono } from 'hono'
import { notFound } from '../http-api/problem.js'
import { baskets } from './baskets.js'
import { board } from './board.js'
import { books } from './books.js'
import { contention } from './contention.js'
import type { Database } from './database.js'
import type { LiveStock } from './live-stock.js'
import { orders } from './orders.js'
import { answerError } from './problems.js'
import { returns } from './returns.js'
import { stock } from './stock.js'

/** The whole API, as a function from Request to Response. */
export function createApp(db: Database, live: LiveStock) {
  const app = new Hono()
  app.onError(answerError)
  app.notFound((c) => answerError(notFound(), c))
  app.route('/orders', orders(db))
  app.route('/baskets', baskets(db))
  app.route('/returns', returns(db))
  app.route('/stock', stock(db))
  app.route('/board', board(db, live))
  app.route('/contention', contention(db))
  app.route('/', books(db))
  return app
}
