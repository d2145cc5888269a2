/** A stock with a maximum, and orders that are open, shipped in part and changed. */
export const PALLET = {
  item: { model: 'Pallet', key: 'code' },
  movement: { model: 'PalletMovement', refused: 'refused' },
  reservation: { model: 'PalletReservation' },
} as const
