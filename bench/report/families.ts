/** How each family looks: one colour and one shape, so that nobody has to tell them apart by colour alone. */
import type { Family } from '../contender.js'

export interface Look {
  readonly title: string
  /** A custom property of the style sheet, since it is another one in the dark. */
  readonly colour: string
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'star'
}

export const FAMILIES: Readonly<Record<Family, Look>> = {
  ours: { title: 'this library', colour: 'var(--ours)', symbol: 'circle' },
  prisma: { title: 'by hand on Prisma', colour: 'var(--prisma)', symbol: 'square' },
  pg: { title: 'by hand on pg', colour: 'var(--pg)', symbol: 'triangle' },
  orm: { title: 'other ORMs', colour: 'var(--orm)', symbol: 'diamond' },
  lock: { title: 'locks outside the row', colour: 'var(--lock)', symbol: 'star' },
}
