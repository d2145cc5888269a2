/** A number as a call may give it for a field: also what can be turned into the field's type without loss. */
export type Input<T> = T extends number ? number : T extends bigint ? number | bigint : number | string | T
