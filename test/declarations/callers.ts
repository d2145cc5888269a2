// Nothing of the package is imported here: all types come with the clients.
import { type connectWithOptions, db, erp } from './clients.js'

export const core = (id: number) => ({
  updated: db.product.updateVersioned({ where: { id, version: 1 }, data: { name: 'Chai' }, select: { name: true } }),
  tried: db.product.tryUpdateVersioned({ where: { id }, data: () => ({ name: 'Chai' }) }),
  deleted: db.product.deleteVersioned({ where: { id, version: 1 } }),
  many: db.product.updateManyVersioned([{ where: { id, version: 1 }, data: { stock: 1 } }], { mode: 'each' }),
  created: db.product.createIdempotent({ where: { id }, data: { name: 'Chai' } }),
  once: db.$idempotent({ key: 'a', scope: 'b' }, async (tx) =>
    tx.product.deleteVersioned({ where: { id, version: 1 } }),
  ),
  job: db.$oncePer({ job: 'a', period: 'b' }, async (_, context) => context),
})

export const withErp = () => ({
  moved: erp.$stock.moveAll({ transactionId: 'a', lines: [] }),
  wrong: erp.$stock.audit(),
  serials: erp.$serials.allocate({ transactionId: 'a', where: {}, count: 1 }),
  gaps: erp.$series.gaps('invoice'),
  version: erp.product.updateVersioned({ where: { id: 1, version: 1 }, data: {} }),
})

export const withOptions = (client: ReturnType<typeof connectWithOptions>) => ({
  shout: client.product.shout('x'),
  product: client.product.updateVersioned({ where: { id: 1, version: 1 }, data: {} }),
  document: client.document.deleteVersioned({ where: { id: 'x', revision: 2 } }),
})

export class Repository {
  constructor(
    readonly client = db,
    readonly all = erp,
  ) {}
  read = (id: number) => this.client.product.findMany({ where: { id } })
}
