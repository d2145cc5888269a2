/** So many units of one product. */
export interface Line {
  readonly productId: number
  readonly quantity: number
}

export interface Order {
  /** Names the order. However often it arrives, on any machine, it is sold once. */
  readonly transactionId: string
  readonly customer: string
  readonly lines: readonly Line[]
}

export interface Return {
  readonly transactionId: string
  /** The number of the invoice that the goods were sold by. */
  readonly invoice: string
  /** Without them it is all that has not come back yet. */
  readonly lines?: readonly Line[] | undefined
}

/** Products that are sold with a serial number each. In a shop of your own, a column of the product. */
export const SERIALISED: ReadonlySet<number> = new Set([11, 42, 59])

/** The product, where this shop keeps it. */
export const itemOf = (productId: number) => ({ productId, warehouse: 'main' })
