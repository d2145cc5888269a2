/** The mapping of the models that the package prints. */
export const STOCK = {
  item: { model: 'Stock', key: ['productId', 'warehouse'] },
  movement: { model: 'StockMovement' },
  reservation: { model: 'StockReservation' },
} as const

/** A stock of exact decimals with a simple key and an opening balance, every name of it mapped. */
export const MATERIAL = {
  item: { model: 'Material', key: 'code', opening: 'opening', version: 'revision' },
  movement: {
    model: 'MaterialMovement',
    transactionId: 'reference',
    line: 'position',
    item: 'material',
    quantity: 'change',
    applied: 'isApplied',
    refused: 'isRefused',
  },
} as const

/** A stock with a history. */
export const SILO = {
  item: { model: 'Silo', key: 'code' },
  movement: { model: 'SiloMovement', refused: 'refused' },
  reservation: { model: 'SiloReservation' },
} as const

export interface StockItem {
  readonly productId: number
  readonly warehouse: string
}

/** The name under which the processes of the tests are known to the server. */
export const WORKER = 'stock worker'
