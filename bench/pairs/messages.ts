/** From the bench to a process of a side. */
export interface Order {
  readonly cell: number
  readonly ms: number
}

/** From a process of a side: at first that it is there, then a figure per order. */
export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'figure'; readonly perSecond: number; readonly cpuMicroseconds: number }
