import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { useDevices } from '../support/devices.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines((engine) => {
  const { database, name } = engine
  const { brief, flawsOf, newId, newProduct, open } = useDevices(engine)

  describe('the history of a serial', () => {
    test.each([
      ['answer', /AS released FROM freed/],
      ['COMMIT', /^COMMIT/],
    ])('has a release once, with its data, whose %s was lost', async (_, statement) => {
      const proxy = await openProxy(database.url)
      const db = await open(name, proxy.url)
      const productId = await newProduct(1)
      const transactionId = newId()
      await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
      const lost = proxy.next(statement, 'drop')

      const released = await db.$serials.release({ transactionId, data: { orderId: 7 } })

      await lost.happened
      expect(released).toEqual({ released: 1 })
      expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual([
        [1, transactionId, null, 'ALLOCATED'],
        [2, null, 7, 'FREE'],
      ])
      expect(await flawsOf(db)).toEqual([])
    })

    test('has a release once whose backend is ended while it waits for the serial', async () => {
      const db = await open()
      const productId = await newProduct(1)
      const transactionId = newId()
      await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
      const holder = await openTransaction(database.url, 'SELECT FROM "Device" WHERE "productId" = $1 FOR UPDATE', [
        productId,
      ])
      const pending = Promise.all([db.$serials.release({ transactionId })])
      await untilBlocked(database.url)
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      await holder.query('ROLLBACK')

      expect(await pending).toEqual([{ released: 1 }])
      expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual([
        [1, transactionId, null, 'ALLOCATED'],
        [2, null, null, 'FREE'],
      ])
    })
  })
})
