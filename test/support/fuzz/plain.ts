import type { createClient } from '../clients.js'

export type Client = ReturnType<typeof createClient>['client']

/** Calls Prisma alone with the same arguments. Throws `NothingAlike` where there is no such call, so that ours must refuse. */
export type PlainCall = (client: Client, args: unknown[]) => Promise<unknown>

export class NothingAlike extends Error {}

/** Prisma has no call to compare with, and ours may do what it says. */
export class Incomparable extends Error {}

type Values = Readonly<Record<string, unknown>>
// Distorted arguments have no type.
type Loose = Readonly<Record<string, (args: unknown) => Promise<Record<string, unknown>>>>
const delegate = (client: Client, model: string) => (client as never as Record<string, Loose>)[model] as Loose

function valuesOf(value: unknown): Values {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NothingAlike()
  if (Object.prototype.toString.call(value) !== '[object Object]') throw new NothingAlike()
  return 'toJSON' in value && typeof value.toJSON === 'function' ? valuesOf(value.toJSON()) : (value as Values)
}

/** The arguments that are not ours alone. */
function prismas(args: unknown): Values {
  const { retry: _retry, signal: _signal, match: _match, ...rest } = valuesOf(args)
  for (const name of ['select', 'include', 'omit'])
    if (rest[name] !== undefined && rest[name] !== null) valuesOf(rest[name])
  const { where } = rest as { where?: { version?: unknown } }
  // A version may be a number or a bigint, whatever its column is.
  return typeof where?.version === 'bigint' ? { ...rest, where: { ...where, version: Number(where.version) } } : rest
}

const bumped = (data: unknown) => ({ ...valuesOf(data), version: { increment: 1 } })

/** The record that a function is given. A distorted `where` may name one of those that belong to nobody. */
const currentOf = async (client: Client, model: string, { where }: Values) =>
  (await delegate(client, model).findUnique?.({ where })) ?? { stock: 5 }

export const plainUpdate =
  (model: string): PlainCall =>
  async (client, [args]) => {
    const { data: given, ...rest } = prismas(args)
    const data = typeof given === 'function' ? await given(await currentOf(client, model, rest), 1) : given
    if (data === undefined && given !== undefined) return delegate(client, model).findUniqueOrThrow?.(rest)
    return delegate(client, model).update?.({ ...rest, data: bumped(data) })
  }

/** The return value of the function of an update. */
export const plainAnswer =
  (id: number): PlainCall =>
  async (client, [data]) => {
    if (typeof data === 'function') throw new NothingAlike()
    return plainUpdate('product')(client, [{ where: { id }, data: () => data }])
  }

export const plainDelete =
  (model: string): PlainCall =>
  async (client, [args]) =>
    delegate(client, model).delete?.(prismas(args))

/** In the mode `each`, what is not there is passed over. */
export const plainUpdateMany =
  (model: string): PlainCall =>
  async (client, [items]) => {
    if (!Array.isArray(items)) throw new NothingAlike()
    for (const item of items) {
      const { where, data } = valuesOf(item)
      await delegate(client, model).updateMany?.({ where: { AND: [where] }, data: bumped(data) })
    }
  }

export const plainCreate =
  (model: string): PlainCall =>
  async (client, [args]) => {
    const { where, data, ...rest } = prismas(args)
    const key = Object.entries(valuesOf(where)).map(([name, value]) =>
      name === 'tenantId_transactionId' ? valuesOf(value) : { [name]: value },
    )
    return delegate(client, model).create?.({ ...rest, data: Object.assign({}, valuesOf(data), ...key) })
  }

export const plainKey: PlainCall = async (client, [options]) => {
  const { scope, key } = valuesOf(options)
  await delegate(client, 'idempotencyKey').create?.({ data: { scope, key, request: '' } })
}

const changeStock = async (client: Client, item: unknown, change: Values) =>
  void (await delegate(client, 'stock').update?.({ where: { productId_warehouse: item }, data: change }))

export const plainMove: PlainCall = async (client, [args]) => {
  const { item, quantity } = valuesOf(args)
  await changeStock(client, item, { onHand: { increment: quantity } })
}

export const plainCount: PlainCall = async (client, [args]) => {
  const { item, counted } = valuesOf(args)
  await changeStock(client, item, { onHand: { set: counted } })
}

/** Lines that change one column of the stock. */
export const plainLines =
  (column: string): PlainCall =>
  async (client, [args]) => {
    const { lines } = valuesOf(args)
    if (!Array.isArray(lines)) throw new NothingAlike()
    for (const line of lines) {
      const { item, quantity } = valuesOf(line)
      await changeStock(client, item, { [column]: { increment: quantity } })
    }
  }

export const plainMovement: PlainCall = async (client, [args]) => {
  const { transactionId, item, quantity } = valuesOf(args)
  const data = { ...valuesOf(item), transactionId, quantity, line: 0, applied: false }
  await delegate(client, 'stockMovement').create?.({ data })
}

export const plainFree: PlainCall = async (client, [where]) =>
  delegate(client, 'serial').count?.({ where: { ...valuesOf(where), transactionId: null } })

export const plainAllocation: PlainCall = async (client, [args]) => {
  const { transactionId, where, count, data } = valuesOf(args)
  const serials = (await delegate(client, 'serial').findMany?.({
    where: { ...valuesOf(where), transactionId: null },
    orderBy: { number: 'asc' },
    take: Number(count),
  })) as unknown as { productId: number; number: string }[]
  for (const { productId, number } of serials) {
    await delegate(client, 'serial').update?.({
      where: { productId_number: { productId, number } },
      data: { ...(data === undefined ? {} : valuesOf(data)), transactionId },
    })
  }
}

export const plainImport: PlainCall = async (client, [args]) => {
  const { data, numbers, range } = valuesOf(args)
  if (range !== undefined) throw new Incomparable()
  if (!Array.isArray(numbers)) throw new NothingAlike()
  await delegate(client, 'serial').createMany?.({
    data: numbers.map((number) => ({ ...(data === undefined ? {} : valuesOf(data)), number })),
  })
}

export const plainNumber: PlainCall = async (client, [series, options]) => {
  const { transactionId } = options === undefined ? {} : valuesOf(options)
  if (transactionId === undefined) return
  const data = [{ series, transactionId, period: '', value: -1, text: '' }]
  await delegate(client, 'seriesNumber').createMany?.({ data, skipDuplicates: true })
}
