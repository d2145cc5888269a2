import { expect, inject, test } from 'vitest'
import { audit } from '../../examples/lost-updates/audit.js'
import type { Sale } from '../../examples/lost-updates/sell.js'
import { useDatabase } from '../support/clients.js'
import { startScript } from '../support/script.js'

const DEMO = 'examples/lost-updates/demo.ts'
const database = useDatabase()

/** The numbers of the demo's table: each row's label with its figures, plain run first. */
function figuresOf(stdout: string): Record<string, { plain: number; versioned: number }> {
  const rows = stdout.matchAll(/^ {2}(\S.*?) {2,}(-?[\d,.]+)(?: s)? +(-?[\d,.]+)(?: s)?$/gm)
  const number = (text = '') => Number(text.replaceAll(',', ''))
  return Object.fromEntries(
    Array.from(rows, ([, label, plain, versioned]) => [label, { plain: number(plain), versioned: number(versioned) }]),
  )
}

test('the comparison loses updates and oversells with plain Prisma and neither with updateVersioned, and says so in plain text', async () => {
  const { exitCode, stdout, stderr } = await startScript(DEMO, { DATABASE_URL: inject('serverUrl') }).ended

  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: '' })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/)
  const figures = figuresOf(stdout)
  expect(Object.keys(figures)).toHaveLength(12)
  expect(figures).toMatchObject({
    'Units asked for': { plain: 51_317, versioned: 51_317 },
    'Opening stock': { plain: 3_119, versioned: 3_119 },
    'Updates lost': { versioned: 0 },
    'Units lost with them': { versioned: 0 },
    'Products oversold': { versioned: 0 },
  })
  const of = (label: string) => figures[label]
  for (const run of ['plain', 'versioned'] as const) {
    expect(of('Units sold')[run] + of('Units refused for want of stock')[run]).toBe(51_317)
    expect(of('Stock expected (opening − sold)')[run]).toBe(3_119 - of('Units sold')[run])
    expect(of('Stock found')[run]).toBe(of('Stock expected (opening − sold)')[run] + of('Units lost with them')[run])
  }
  expect(of('Updates lost').plain).toBeGreaterThan(0)
  expect(of('Products oversold').plain).toBeGreaterThan(0)
  expect(of('Lines that noticed a conflict').versioned).toBeGreaterThan(0)
  expect(of('Units sold').versioned).toBeLessThanOrEqual(3_119)
})

/** The audit of these sales of one product of ten, with the stock after them. */
async function auditOf({ sales, stock }: { sales: { before: number; quantity: number }[]; stock: number }) {
  const { client } = database.connect()
  const { id } = await client.product.create({ data: { name: 'Chai', stock } })
  const replay: Sale[] = []
  for (const { before, quantity } of sales) {
    const isSold = before >= quantity
    const order = await client.order.create({ data: { customer: 'VINET' } })
    if (isSold) await client.orderLine.create({ data: { orderId: order.id, productId: id, quantity } })
    replay.push({ line: { orderId: order.id, productId: id, quantity }, isSold, before, attempts: 1 })
  }
  const products = [{ id, name: 'Chai', price: '18', stock: 10 }]
  return audit({ ...database, url: database.url, drop: async () => {} }, products, { sales: replay, milliseconds: 1 })
}

test('the audit finds a stock exact that every sale was taken off', async () => {
  const result = await auditOf({
    stock: 3,
    sales: [
      { before: 10, quantity: 4 },
      { before: 6, quantity: 3 },
      { before: 3, quantity: 5 },
    ],
  })

  expect(result).toMatchObject({ updatesLost: 0, unitsVanished: 0, unitsSold: 7, unitsRefused: 5, isExact: true })
})

test('the audit counts every sale that a later write of the stock has undone', async () => {
  const result = await auditOf({
    stock: 9,
    sales: [
      { before: 10, quantity: 2 },
      { before: 8, quantity: 3 },
      { before: 10, quantity: 1 },
    ],
  })

  expect(result).toMatchObject({ updatesLost: 2, unitsVanished: 5, productsOversold: 0, isExact: false })
})

test('the audit counts a product of which more was sold than there was', async () => {
  const result = await auditOf({
    stock: 2,
    sales: [
      { before: 10, quantity: 8 },
      { before: 10, quantity: 8 },
    ],
  })

  expect(result).toMatchObject({ updatesLost: 1, unitsVanished: 8, productsOversold: 1, isExact: false })
})
