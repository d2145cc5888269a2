import { randomInt, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { useDepot } from '../support/depot.js'
import { useDevices } from '../support/devices.js'
import { type EndsWork, endAll, openEnds } from '../support/ends.js'
import { describeEngines } from '../support/engines.js'
import { startProcess } from '../support/process.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const [JANUARY, MARCH] = ['2026-01-31', '2026-03-10']

describeEngines((engine) => {
  const { database, name } = engine
  const { newItem, stateOf, movementsOf } = useDepot(engine)
  const { flawsOf, newProduct } = useDevices(engine)

  test.each(['the process is killed', 'its backends are terminated'])(
    'a close and both prunes whose %s in the middle leave what they have committed, keep nobody, and are run again',
    async (how) => {
      const [closing, pruning] = [randomInt(1, 2 ** 31), randomInt(1, 2 ** 31)]
      const work: EndsWork = { engine: name, url: database.url, closing, pruning, until: JANUARY, before: MARCH }
      const { db, close } = await openEnds(name, database.url)
      const [ours, theirs] = [closing, pruning].map((companyId) => db.$stock.in({ companyId }))
      if (!ours || !theirs) throw new Error('There are two companies.')
      const [held, free, item] = [await newItem(closing, 5), await newItem(closing, 5), await newItem(pruning, 10)]
      await ours.defer({ transactionId: randomUUID(), item: free, quantity: 1, date: JANUARY })
      for (const [id, quantity] of [
        ['a', 2.5],
        ['b', -1],
        ['c', 3],
      ] as const)
        await theirs.move({ transactionId: `${pruning} ${id}`, item, quantity, date: JANUARY })
      await theirs.close({ until: JANUARY })
      const productId = await newProduct(1)
      for (let i = 0; i < 3; i++) {
        const call = { transactionId: randomUUID() }
        await db.$serials.allocate({ ...call, where: { productId }, count: 1 })
        await db.$serials.release(call)
      }
      await database.query(`UPDATE "DeviceAllocation" SET "createdAt" = '2020-01-01'`)
      await database.query(`UPDATE "DeviceHistory" SET "changedAt" = '2020-01-01' WHERE "productId" = $1`, [productId])
      const holder = await openTransaction(
        database.url,
        `WITH movement AS MATERIALIZED (SELECT FROM "DepotMovement" WHERE "transactionId" = $2 FOR UPDATE),
change AS MATERIALIZED (SELECT FROM "DeviceHistory" WHERE "productId" = $3 AND sequence = 3 FOR UPDATE)
SELECT (SELECT count(*) FROM movement), (SELECT count(*) FROM change) FROM "DepotStock" WHERE code = $1 FOR UPDATE`,
        [held, `${pruning} b`, productId],
      )

      if (how === 'the process is killed') {
        const doomed = startProcess('ends-worker.ts', work)
        await untilBlocked(database.url, 3)
        doomed.kill()
      } else {
        const ending = started(endAll(db, work))
        await untilBlocked(database.url, 3)
        await database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
        await holder.query('ROLLBACK')
        await ending
      }
      await holder.query('ROLLBACK')
      expect((await stateOf(free)).closedUntil).toBe(JANUARY)
      expect(await movementsOf(`${pruning} a`)).toEqual([])

      const outcomes = await endAll(db, work)

      expect(outcomes.map(({ status }) => status)).toEqual(Array(3).fill('fulfilled'))
      expect(await stateOf(held)).toMatchObject({ onHand: 5, closedUntil: JANUARY })
      expect(await stateOf(free)).toMatchObject({ onHand: 6, closedUntil: JANUARY })
      expect(await stateOf(item)).toMatchObject({ onHand: 14.5, opening: 14.5 })
      const left = await db.$serials.history({ productId, number: 'S-1' })
      expect(left.map(({ sequence }) => sequence)).toEqual([6])
      expect([await ours.audit(), await theirs.audit(), await flawsOf(db)]).toEqual([[], [], []])
      const move = { transactionId: randomUUID(), quantity: 1 }
      expect(await ours.move({ ...move, item: held })).toMatchObject({ replayed: false })
      expect(await theirs.move({ ...move, item })).toMatchObject({ replayed: false })
      await close()
    },
  )
})
