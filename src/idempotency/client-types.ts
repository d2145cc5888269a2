import type { Args, Scalars } from '../prisma/types.js'
import type { CallOptions } from '../retry/call-options.js'
import type { FenceOption } from '../transactions/fence.js'

type Plain = string | number | bigint | boolean | Date | Uint8Array | { toFixed(): string }

/** The fields that the key gives, those of a compound key one by one. */
type KeyField<W> = { [K in keyof W]: W[K] extends Plain ? K : keyof W[K] }[keyof W]

/** Prisma's own `data`, without the fields of the key. */
export type CreateData<T, W> = Args<T, 'create'>['data'] extends infer D
  ? D extends unknown
    ? Omit<D, KeyField<W>> & { [K in KeyField<W> & PropertyKey]?: never }
    : never
  : never

export type CreateIdempotentArgs<T, W> = {
  /** A unique key, such as a transaction id. Its values go into the record. */
  where: W
  /** The other values of the record. */
  data: CreateData<T, W>
  /** Fields whose values a duplicate must bring as they are in the record now. */
  match?: readonly (keyof Scalars<T> & string)[] | undefined
} & CallOptions &
  FenceOption
