/** The mapping of the models that the package prints. */
export const STOCK = {
  item: { model: 'Stock', key: ['productId', 'warehouse'] },
  movement: { model: 'StockMovement' },
  reservation: { model: 'StockReservation' },
} as const

export interface StockItem {
  readonly productId: number
  readonly warehouse: string
}

/** The name under which the processes of the tests are known to the server. */
export const WORKER = 'stock worker'
