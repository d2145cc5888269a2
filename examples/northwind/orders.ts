import { readFile } from 'node:fs/promises'

export interface Product {
  readonly id: number
  readonly name: string
  readonly price: string
  readonly stock: number
}

export interface Order {
  readonly id: number
  readonly customer: string
}

/** One line of an order: so many units of one product. */
export interface Line {
  readonly orderId: number
  readonly productId: number
  readonly quantity: number
}

export const readProducts = () =>
  readTable('products.csv', ['product_id', 'name', 'unit_price', 'units_in_stock'], ([id, name, price, stock]) => ({
    id: toNumber(id),
    name,
    price,
    stock: toNumber(stock),
  })) satisfies Promise<Product[]>

export const readOrders = () =>
  readTable('orders.csv', ['order_id', 'customer_id'], ([id, customer]) => ({
    id: toNumber(id),
    customer,
  })) satisfies Promise<Order[]>

/** All order lines, in the order in which they came in. */
export const readLines = () =>
  readTable('order_lines.csv', ['order_id', 'product_id', 'quantity'], ([order, product, quantity]) => ({
    orderId: toNumber(order),
    productId: toNumber(product),
    quantity: toNumber(quantity),
  })) satisfies Promise<Line[]>

/** Reads the named columns of each row. No field of these files is quoted, so a quote is an error here. */
async function readTable<const C extends readonly string[], R>(
  file: string,
  columns: C,
  toRecord: (values: { [I in keyof C]: string }) => R,
): Promise<R[]> {
  const text = await readFile(new URL(`data/${file}`, import.meta.url), 'utf8')
  if (text.includes('"')) throw new Error(`${file} has quoted fields, which this reader does not know.`)
  const [header = [], ...rows] = text
    .trimEnd()
    .split(/\r?\n/)
    .map((row) => row.split(','))
  const positions = columns.map((column) => header.indexOf(column))
  if (positions.includes(-1)) throw new Error(`${file} lacks one of the columns ${columns.join(', ')}.`)
  return rows.map((row, index) => {
    if (row.length !== header.length) throw new Error(`Row ${index + 2} of ${file} is not as long as its header.`)
    return toRecord(positions.map((position) => row[position]) as { [I in keyof C]: string })
  })
}

function toNumber(text: string): number {
  const value = Number(text)
  if (text === '' || !Number.isSafeInteger(value)) throw new Error(`"${text}" is not a whole number.`)
  return value
}
