/** How each family looks: one colour and one shape, so that nobody has to tell them apart by colour alone. */
import type { Family } from '../contender.js'

export interface Look {
  readonly title: string
  /** A custom property of the style sheet, since it is another one in the dark. */
  readonly colour: string
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'star' | 'wye'
  /** Shapes of the same radius do not look the same size. */
  readonly radius: number
}

export const FAMILIES: Readonly<Record<Family, Look>> = {
  ours: { title: 'this library', colour: 'var(--ours)', symbol: 'circle', radius: 4.5 },
  prisma: { title: 'by hand on Prisma', colour: 'var(--prisma)', symbol: 'square', radius: 4.5 },
  pg: { title: 'by hand on pg', colour: 'var(--pg)', symbol: 'triangle', radius: 4.5 },
  orm: { title: 'other ORMs', colour: 'var(--orm)', symbol: 'diamond', radius: 4.2 },
  lock: { title: 'locks outside the row', colour: 'var(--lock)', symbol: 'star', radius: 3.6 },
  queue: { title: 'queues', colour: 'var(--queue)', symbol: 'wye', radius: 4.2 },
}
