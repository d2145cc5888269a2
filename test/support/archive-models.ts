/** A stock with a history, whose periods are closed, and whose old movements are pruned. */
export const ARCHIVE = {
  item: { model: 'ArchiveStock', key: 'code', opening: 'opening' },
  movement: { model: 'ArchiveMovement' },
} as const
