import { afterAll, describe, expect, test } from 'vitest'
import { concurrency, isConcurrencyError, VersionConflictError, WriteSuppressedError } from '../../src/index.js'
import { createClient } from '../support/clients.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()

describe('one statement', () => {
  test('a versioned update of a held version is one UPDATE, checked and bumped by the database', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 4 } })
    expect(statements).toEqual([
      expect.stringMatching(/^UPDATE "public"."Product" SET .*"version" = .* WHERE .*"version" = .* RETURNING/),
    ])
  })

  test('it stays one statement when only some columns are selected', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 4 }, select: { name: true } })
    expect(statements).toHaveLength(1)
  })

  test('a refused update reads the row once to say why, and sends nothing else', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 5 } })
    statements.length = 0
    await rejectionOf(db.product.updateVersioned({ where: { id, version: 4 }, data: { stock: 4 } }))
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['UPDATE', 'SELECT'])
  })
})

describe('the version', () => {
  test('goes up by one with the data', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 7 } })
    await db.product.updateVersioned({ where: { id, version: 7 }, data: { name: 'Chang' } })
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ name: 'Chang', version: 8 })
  })

  test('is in the record that comes back, so that the next write needs no read', async () => {
    const { db } = connect()
    let current = await db.product.create({ data: { name: 'Chai' } })
    const versions: number[] = []
    for (let stock = 1; stock <= 5; stock++) {
      current = await db.product.updateVersioned({
        where: { id: current.id, version: current.version },
        data: { stock },
      })
      versions.push(current.version)
    }
    expect(versions).toEqual([1, 2, 3, 4, 5])
  })

  test('0 is compared like any other', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 4 } }))
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  })

  test('higher than the one in the row is as stale as a lower one', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 2 }, data: { stock: 4 } }))
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 2, actual: 1 })
  })

  test('works as a BigInt, under a compound key', async () => {
    const { db } = connect()
    const key = { productId: 1, warehouse: 'Graz' }
    const beyondDouble = 9_007_199_254_740_993n
    await db.stock.create({ data: { ...key, onHand: 1, version: beyondDouble } })
    const written = await db.stock.updateVersioned({
      where: { productId_warehouse: key, version: beyondDouble },
      data: { onHand: { decrement: 1 } },
    })
    expect(written).toMatchObject({ ...key, onHand: 0, version: beyondDouble + 1n })
  })

  test('of a BigInt column is not rounded when it is compared', async () => {
    const { db } = connect()
    const key = { productId: 2, warehouse: 'Graz' }
    await db.stock.create({ data: { ...key, onHand: 1, version: 9_007_199_254_740_992n } })
    const error = await rejectionOf(
      db.stock.updateVersioned({
        where: { productId_warehouse: key, version: 9_007_199_254_740_993n },
        data: { onHand: 0 },
      }),
    )
    expect(error).toMatchObject({ expected: 9_007_199_254_740_993n, actual: 9_007_199_254_740_992n })
  })

  test('can be held in a field of another name', async () => {
    const db = database.connect().client.$extends(concurrency({ version: { field: 'revision' } }))
    const { id } = await db.document.create({ data: { title: 'Offer' } })
    const written = await db.document.updateVersioned({ where: { id, revision: 0 }, data: { title: 'Invoice' } })
    expect(written).toEqual({ id, title: 'Invoice', revision: 1 })
  })

  test('goes up also where plain writes are set not to raise it', async () => {
    const db = database.connect().client.$extends(concurrency({ version: { bumpPlainWrites: false } }))
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const first = await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
    const second = await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    expect([first.version, second.version]).toEqual([1, 2])
  })

  test('at the highest Int is a VersionOverflowError, and the row stays as it is', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 2_147_483_647 } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 2_147_483_647 }, data: { stock: 4 } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_OVERFLOW', model: 'Product', field: 'version' })
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 0, version: 2_147_483_647 })
  })

  test('at the highest BigInt is a VersionOverflowError with the error of the database as its cause', async () => {
    const { db } = connect()
    const key = { productId: 3, warehouse: 'Graz' }
    const highest = 9_223_372_036_854_775_807n
    await db.stock.create({ data: { ...key, onHand: 1, version: highest } })
    const error = await rejectionOf(
      db.stock.updateVersioned({ where: { productId_warehouse: key, version: highest }, data: { onHand: 0 } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_OVERFLOW', model: 'Stock', cause: expect.any(Error) })
  })

  test('one below the highest is still written', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 2_147_483_646 } })
    const written = await db.product.updateVersioned({ where: { id, version: 2_147_483_646 }, data: { stock: 4 } })
    expect(written.version).toBe(2_147_483_647)
  })

  test('is not blamed for another number that does not fit its column', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 2_147_483_647 } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: { increment: 1 } } }),
    )
    expect(isConcurrencyError(error)).toBe(false)
  })
})

describe('a stale write', () => {
  test('is refused, again and again, until the row is read anew', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const first = await db.product.findUniqueOrThrow({ where: { id } })
    const second = await db.product.findUniqueOrThrow({ where: { id } })
    await db.product.updateVersioned({ where: { id, version: first.version }, data: { stock: 1 } })
    const again = () => db.product.updateVersioned({ where: { id, version: second.version }, data: { stock: 2 } })
    await expect(again()).rejects.toThrow(VersionConflictError)
    await expect(again()).rejects.toThrow(VersionConflictError)
    expect(second.version).toBe(0)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 1, version: 1 })
  })

  test('is refused also when the other writer changed another column', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await db.product.updateVersioned({ where: { id, version: 0 }, data: { price: 18 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 0 }, data: { name: 'Chang' } }))
    expect(error).toBeInstanceOf(VersionConflictError)
  })

  test('names the model, the row, both versions and the attempts', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 1 } }))
    expect(error).toMatchObject({ model: 'Product', where: { id }, expected: 7, actual: 8, attempts: 1 })
    expect((error as Error).message).toContain(`Product { id: ${id} } has version 8, expected 7`)
  })

  test("keeps Prisma's own error as its cause", async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 1 } }))
    expect((error as Error).cause).toMatchObject({ code: 'P2025' })
  })

  test('is tried once, whatever the policy allows', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
    statements.length = 0
    await rejectionOf(
      db.product.updateVersioned({
        where: { id, version: 7 },
        data: { stock: 1 },
        retry: { attempts: 10, retryOn: () => true },
      }),
    )
    expect(statements.filter((sql) => sql.startsWith('UPDATE'))).toHaveLength(1)
  })

  test('reports the version of a writer who was in flight when it was sent', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 41 WHERE id = $1', [id])
    const refused = rejectionOf(db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }))
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await refused).toMatchObject({ expected: 0, actual: 41 })
  })

  test('is no conflict at all if the writer in flight rolls back', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 41 WHERE id = $1', [id])
    const written = db.product
      .updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
      .then((record) => record)
    await untilBlocked(database.url)
    await other.query('ROLLBACK')
    expect(await written).toMatchObject({ stock: 1, version: 1 })
  })

  test('never reports the expected version as the actual one, even if the row is set back meanwhile', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 1 WHERE id = $1', [id])
    const next = await openConnection(database.url)
    const outcome = db.product
      .updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
      .catch((error: unknown) => error)
    await untilBlocked(database.url)
    const setBack = next.query('UPDATE "Product" SET version = 0 WHERE id = $1', [id])
    await untilBlocked(database.url, 2)
    await other.query('COMMIT')
    await setBack
    const result = await outcome
    // Either it saw version 1 and says so, or it found its own version again and wrote under it.
    const isRefused = isConcurrencyError(result, 'VERSION_CONFLICT')
    expect(isRefused ? result.actual : (result as { version: number }).version).toBe(1)
  })

  test('can be recognised without instanceof, by an error of another copy of the package', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 1 } }))
    const foreign = Object.defineProperties(new Error('a copy'), Object.getOwnPropertyDescriptors(error))
    expect(foreign).not.toBeInstanceOf(VersionConflictError)
    expect(isConcurrencyError(foreign, 'VERSION_CONFLICT')).toBe(true)
    expect(isConcurrencyError(foreign, 'WRITE_SUPPRESSED')).toBe(false)
  })
})

describe('races', () => {
  test('of fifty warm connections over one version have exactly one winner, and the row is the winner’s', async () => {
    const { db, pool } = connect({ poolSize: 50 })
    await warm(pool, 50)
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const starter = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const writers = Array.from({ length: 50 }, (_, stock) =>
      db.product.tryUpdateVersioned({ where: { id, version: 1 }, data: { stock: stock + 1 } }).then((result) => result),
    )
    await untilBlocked(database.url, 50)
    await starter.query('COMMIT')
    const results = await Promise.all(writers)
    const winners = results.flatMap((result) => (result.status === 'updated' ? [result.record] : []))
    expect(winners).toHaveLength(1)
    expect(results.filter(({ status }) => status === 'stale')).toHaveLength(49)
    expect(await db.product.findUnique({ where: { id } })).toEqual(winners[0])
  })

  test('over one version, twenty times over, count as many versions as winners', async () => {
    const { db, pool } = connect({ poolSize: 20 })
    await warm(pool, 20)
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let winners = 0
    for (let version = 0; version < 20; version++) {
      const race = await Promise.all(
        Array.from({ length: 20 }, () =>
          db.product.tryUpdateVersioned({ where: { id, version }, data: { stock: { increment: 1 } } }),
        ),
      )
      winners += race.filter(({ status }) => status === 'updated').length
    }
    expect(winners).toBe(20)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 20, version: 20 })
  })
})

test('a write of one caller waits for a writer in flight, and is stale once that one has committed', async () => {
  const { db, statements } = connect()
  const { id, version } = await db.product.create({ data: { name: 'Chai' } })
  const raise = 'UPDATE "Product" SET version = version + 1 WHERE id = $1'
  const other = await openTransaction(database.url, raise, [id])
  statements.length = 0
  const refused = rejectionOf(db.product.updateVersioned({ where: { id, version }, data: { stock: 1 } }))
  await untilBlocked(database.url)
  await other.query('COMMIT')
  expect(await refused).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['UPDATE', 'SELECT'])
})

test('a write that waits for a row does not hold up those of other rows', async () => {
  const { db } = connect()
  const rows = await Promise.all(['a', 'b'].map((name) => db.product.create({ data: { name } })))
  const [held, free] = rows.map(({ id, version }) => ({ id, version }))
  const other = await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [held?.id])
  const waiting = db.product.updateVersioned({ where: held as (typeof rows)[0], data: { stock: 1 } }).then((row) => row)
  await untilBlocked(database.url)
  expect(await db.product.updateVersioned({ where: free as (typeof rows)[0], data: { stock: 1 } })).toMatchObject({
    version: 1,
  })
  await other.query('COMMIT')
  expect(await waiting).toMatchObject({ version: 1 })
})

describe('a row that is not there', () => {
  test("is Prisma's own P2025", async () => {
    const { db } = connect()
    const error = await rejectionOf(db.product.updateVersioned({ where: { id: -1, version: 0 }, data: { stock: 1 } }))
    expect(error).toMatchObject({
      code: 'P2025',
      name: 'PrismaClientKnownRequestError',
      meta: { modelName: 'Product' },
    })
  })

  test('has the error that Prisma gives for its own update', async () => {
    const { db } = connect()
    const own = await rejectionOf(database.connect().client.product.update({ where: { id: -1 }, data: { stock: 1 } }))
    const error = await rejectionOf(db.product.updateVersioned({ where: { id: -1, version: 0 }, data: { stock: 1 } }))
    const partsOf = (error: unknown) => {
      const { name, message, code, meta, clientVersion } = error as Record<string, unknown>
      return {
        class: (error as Error).constructor,
        name,
        code,
        meta,
        clientVersion,
        told: String(message).split('\n').at(-1),
      }
    }
    expect(partsOf(error)).toEqual(partsOf(own))
  })

  test('since it was deleted by someone else is missing, not stale', async () => {
    const { db } = connect()
    const { id, version } = await db.product.create({ data: { name: 'Chai' } })
    await database.query('DELETE FROM "Product" WHERE id = $1', [id])
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version }, data: { stock: 1 } }))
    expect(error).toMatchObject({ code: 'P2025' })
  })

  test('since a deleter in flight was first is missing', async () => {
    const { db } = connect()
    const { id, version } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'DELETE FROM "Product" WHERE id = $1', [id])
    const refused = rejectionOf(db.product.updateVersioned({ where: { id, version }, data: { stock: 1 } }))
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await refused).toMatchObject({ code: 'P2025' })
  })

  test('by another filter of `where` than the version is missing', async () => {
    const { db } = connect()
    const { id, version } = await db.product.create({ data: { name: 'Chai' } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version, name: 'Chang' }, data: { stock: 1 } }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
  })
})

describe('a nested connect of a record that is not there', () => {
  test('stays the P2025 that it is, and nothing is written', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const plain = await rejectionOf(
      database.connect().client.product.update({ where: { id }, data: { category: { connect: { id: -1 } } } }),
    )
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id, version: 0 },
        data: { name: 'Chang', category: { connect: { id: -1 } } },
      }),
    )
    expect(error).toMatchObject({ code: 'P2025', meta: (plain as { meta: unknown }).meta })
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ name: 'Chai', version: 0 })
  })

  test('on the side of the children stays the P2025 that it is, and nothing is written', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const error = await rejectionOf(
      db.order.updateVersioned({
        where: { id, version: 0 },
        data: { customer: 'ANATR', lines: { connect: { id: -1 } } },
      }),
    )
    expect(error).toMatchObject({ code: expect.stringMatching(/^P20/) })
    expect(isConcurrencyError(error)).toBe(false)
    expect(await db.order.findUnique({ where: { id } })).toMatchObject({ customer: 'ALFKI', version: 0 })
  })

  test('is not looked at when the row itself is stale', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 0 }, data: { category: { connect: { id: -1 } } } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', actual: 1 })
  })

  test('is no conflict of the row when a nested update does not find its record', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const error = await rejectionOf(
      db.order.updateVersioned({
        where: { id, version: 0 },
        data: { lines: { update: { where: { id: -1 }, data: { quantity: 1 } } } },
      }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
    expect(await db.order.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })
})

describe('nested writes', () => {
  const orderOf = async (db: ReturnType<typeof connect>['db']) => {
    const product = await db.product.create({ data: { name: 'Chai' } })
    const order = await db.order.create({ data: { customer: 'ALFKI' } })
    return { product, order }
  }

  test('bump the root even if they are all there is', async () => {
    const { db } = connect()
    const { product, order } = await orderOf(db)
    const written = await db.order.updateVersioned({
      where: { id: order.id, version: 0 },
      data: { lines: { create: { productId: product.id, quantity: 3 } } },
      include: { lines: true },
    })
    expect(written).toMatchObject({ version: 1, lines: [{ quantity: 3 }] })
  })

  test('come after the guarded UPDATE of the root, in one transaction', async () => {
    const { db, statements } = connect()
    const { product, order } = await orderOf(db)
    statements.length = 0
    await db.order.updateVersioned({
      where: { id: order.id, version: 0 },
      data: { lines: { create: { productId: product.id, quantity: 3 } } },
    })
    const writes = statements.map((sql) => sql.split(' ')[0]).filter((word) => word !== 'SELECT')
    expect(writes).toEqual(['BEGIN', 'UPDATE', 'INSERT', 'COMMIT'])
  })

  test('write nothing when the root is stale', async () => {
    const { db, statements } = connect()
    const { product, order } = await orderOf(db)
    await db.order.updateVersioned({ where: { id: order.id, version: 0 }, data: { customer: 'ANATR' } })
    statements.length = 0
    const error = await rejectionOf(
      db.order.updateVersioned({
        where: { id: order.id, version: 0 },
        data: { lines: { create: { productId: product.id, quantity: 3 } } },
      }),
    )
    expect(error).toBeInstanceOf(VersionConflictError)
    expect(statements.some((sql) => sql.startsWith('INSERT'))).toBe(false)
    expect(await db.orderLine.count({ where: { orderId: order.id } })).toBe(0)
  })

  test('that fail take the bump of the root back with them', async () => {
    const { db } = connect()
    const { order } = await orderOf(db)
    await rejectionOf(
      db.order.updateVersioned({
        where: { id: order.id, version: 0 },
        data: { customer: 'ANATR', lines: { create: { productId: -1, quantity: 3 } } },
      }),
    )
    expect(await db.order.findUnique({ where: { id: order.id } })).toMatchObject({ customer: 'ALFKI', version: 0 })
  })

  test('bump the versioned rows that they update', async () => {
    const { db } = connect()
    const { product, order } = await orderOf(db)
    const line = await db.orderLine.create({ data: { orderId: order.id, productId: product.id, quantity: 1 } })
    await db.order.updateVersioned({
      where: { id: order.id, version: 0 },
      data: { lines: { update: { where: { id: line.id }, data: { quantity: 2 } } } },
    })
    const stale = await rejectionOf(
      db.orderLine.updateVersioned({ where: { id: line.id, version: 0 }, data: { quantity: 3 } }),
    )
    expect(stale).toMatchObject({ code: 'VERSION_CONFLICT', model: 'OrderLine', actual: 1 })
  })

  test('of two holders of one version: only one order’s lines are there in the end', async () => {
    const { db, pool } = connect()
    await warm(pool, 4)
    const { product, order } = await orderOf(db)
    const other = await db.product.create({ data: { name: 'Chang' } })
    const starter = await openTransaction(database.url, 'SELECT FROM "Order" WHERE id = $1 FOR UPDATE', [order.id])
    const results = [product, other].map(({ id }) =>
      db.order
        .tryUpdateVersioned({
          where: { id: order.id, version: 0 },
          data: { lines: { create: { productId: id, quantity: 1 } } },
        })
        .then((result) => result),
    )
    await untilBlocked(database.url, 2)
    await starter.query('COMMIT')
    const statuses = (await Promise.all(results)).map(({ status }) => status)
    expect(statuses.sort()).toEqual(['stale', 'updated'])
    expect(await db.orderLine.count({ where: { orderId: order.id } })).toBe(1)
  })
})

describe('empty data', () => {
  test('still bumps', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    expect(await db.order.updateVersioned({ where: { id, version: 0 }, data: {} })).toMatchObject({ version: 1 })
  })

  test('still checks', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI', version: 1 } })
    const error = await rejectionOf(db.order.updateVersioned({ where: { id, version: 0 }, data: {} }))
    expect(error).toBeInstanceOf(VersionConflictError)
  })
})

describe('what comes back', () => {
  test('is what `select` asks for, without the version', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const written = await db.product.updateVersioned({
      where: { id, version: 0 },
      data: { stock: 4 },
      select: { stock: true },
    })
    expect(written).toEqual({ stock: 4 })
  })

  test('is what `include` asks for', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', category: { create: { name: 'Beverages' } } } })
    const written = await db.product.updateVersioned({
      where: { id, version: 0 },
      data: { stock: 4 },
      include: { category: { select: { name: true } } },
    })
    expect(written).toMatchObject({ stock: 4, version: 1, category: { name: 'Beverages' } })
  })

  test('lacks what `omit` leaves out, also the version', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const written = await db.order.updateVersioned({
      where: { id, version: 0 },
      data: { customer: 'ANATR' },
      omit: { version: true },
    })
    expect(written).toEqual({ id, customer: 'ANATR' })
  })

  test('lacks the version where the client omits it, and the check works all the same', async () => {
    const db = database.connect({ omit: { order: { version: true } } }).client.$extends(concurrency())
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const written = await db.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'ANATR' } })
    expect(written).toEqual({ id, customer: 'ANATR' })
    const stale = await rejectionOf(
      db.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'ANTON' } }),
    )
    expect(stale).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  })

  test('of a stale write with an `include` is the conflict, not a record', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 4 }, include: { category: true } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  })
})

describe('a write that the database suppresses', () => {
  const role = `limited_${Math.random().toString(36).slice(2)}`
  let isRoleMade = false
  afterAll(async () => {
    if (isRoleMade) await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })

  test('by a trigger that returns NULL is an error of its own, not a conflict and not a loop', async () => {
    const { db, statements } = connect()
    const { id } = await db.category.create({ data: { name: 'Suppressed' } })
    await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON "Category" FOR EACH ROW WHEN (OLD.name = 'Suppressed') EXECUTE FUNCTION suppress()`)
    statements.length = 0
    const error = await rejectionOf(db.category.updateVersioned({ where: { id, version: 0 }, data: { name: 'New' } }))
    expect(error).toBeInstanceOf(WriteSuppressedError)
    expect(error).toMatchObject({
      code: 'WRITE_SUPPRESSED',
      model: 'Category',
      where: { id },
      cause: { code: 'P2025' },
    })
    expect(statements.length).toBeLessThanOrEqual(6)
  })

  test('by a policy of row-level security is the same error', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    await database.query(`CREATE ROLE ${role};
GRANT SELECT, UPDATE ON "Order" TO ${role};
ALTER TABLE "Order" ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON "Order" FOR SELECT TO ${role} USING (true);
CREATE POLICY writes ON "Order" FOR UPDATE TO ${role} USING (customer <> 'ALFKI')`)
    isRoleMade = true
    const url = new URL(database.url)
    url.searchParams.set('options', `-c role=${role}`)
    const { client } = createClient(url.href)
    const limited = client.$extends(concurrency())
    const error = await rejectionOf(
      limited.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'ANATR' } }),
    )
    await client.$disconnect()
    expect(error).toBeInstanceOf(WriteSuppressedError)
  })
})

describe('errors that are none of ours', () => {
  test('come as Prisma has them: a unique violation is P2002, and the version stays', async () => {
    const { db } = connect()
    const order = await db.order.create({ data: { customer: 'ALFKI' } })
    await db.category.create({ data: { name: 'Taken' } })
    const { id } = await db.category.create({ data: { name: `Free ${order.id}` } })
    const error = await rejectionOf(db.category.updateVersioned({ where: { id, version: 0 }, data: { name: 'Taken' } }))
    expect(error).toMatchObject({ code: 'P2002' })
    expect(await db.category.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })

  test('a deadlock of a lone versioned write is tried again, and it is written', async () => {
    const { db } = connect()
    const product = await db.product.create({ data: { name: 'Chai' } })
    const order = await db.order.create({
      data: { customer: 'ALFKI', lines: { create: { productId: product.id, quantity: 1 } } },
      include: { lines: true },
    })
    const [line] = order.lines
    const other = await openConnection(database.url)
    // The other side is the one that PostgreSQL lets live: it looks for a deadlock much later.
    await other.query("SET deadlock_timeout = '60s'")
    await other.query('BEGIN')
    await other.query('UPDATE "OrderLine" SET quantity = 9 WHERE id = $1', [line?.id])
    const written = db.order
      .updateVersioned({
        where: { id: order.id, version: 0 },
        data: { lines: { update: { where: { id: line?.id ?? 0 }, data: { quantity: 2 } } } },
      })
      .then((record) => record)
    await untilBlocked(database.url)
    await other.query('SELECT FROM "Order" WHERE id = $1 FOR UPDATE', [order.id])
    await other.query('COMMIT')
    expect(await written).toMatchObject({ version: 1 })
  })
})
