import { InvalidArgumentError } from '../errors/index.js'
import { isFilledIn } from '../mapping/mapping.js'
import { callOptions } from '../retry/call-options.js'
import { checkKeyLength, keyText } from '../sql/key-text.js'
import type { Scope } from '../sql/scope.js'
import { transactionOptions } from '../transactions/method.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { readFormat } from './format.js'
import type { ImportCall, Range } from './import.js'
import type { SerialsMap } from './mapping.js'
import { MOST, numbers, sorted, whole } from './numbers.js'
import { requestOf } from './request.js'
import { inScope, type Refusals, readData, type Values } from './values.js'

const importSchema = s.strictObject({
  ...callOptions,
  timeout: transactionOptions.timeout,
  transactionId: keyTextSchema,
  data: s.optional(s.unknown()),
  range: s.optional(s.strictObject({ from: whole, to: whole, format: keyTextSchema }, 'must be { from, to, format }')),
  numbers: s.optional(numbers.check(s.minLength(1, 'must not be empty'))),
})

/** The arguments of an import, checked. */
export function readImport(
  args: unknown,
  map: SerialsMap,
  { refused, scope }: { readonly refused: Refusals; readonly scope: Scope },
) {
  const { transactionId, range, numbers, ...given } = checkArguments(importSchema, args)
  const values = readData('data', given.data, map.serial.model, refused)
  const data = inScope(values, map.serial.scope, scope)
  checkComplete(map, data)
  const { source, count } = sourceOf(range, numbers)
  checkNumbers(map, source, data)
  const parts = 'numbers' in source ? { numbers: source.numbers } : { ...range }
  return { transactionId, values, data, source, count, request: requestOf('import', parts, { data: values }), given }
}

function checkComplete({ serial: { model, number } }: SerialsMap, { fields }: Values): void {
  for (const field of model.fields.values()) {
    if (isFilledIn(field) || field === number || fields.includes(field)) continue
    throw new InvalidArgumentError(`data.${field.name}`, 'is required, and the database has no default for it.')
  }
}

/** The longest number stands for all of a range. */
function checkNumbers({ serial: { number, key } }: SerialsMap, source: ImportCall['source'], { given }: Values): void {
  const isList = 'numbers' in source
  const path = isList ? 'numbers' : 'range.format'
  const others = key.filter((field) => field !== number).map(({ name }) => given[name])
  for (const text of isList ? source.numbers : [longestOf(source)]) {
    keyText(text, number, path)
    checkKeyLength([text, ...others], path)
  }
}
type GivenRange = NonNullable<s.Output<typeof importSchema>['range']>

function sourceOf(range: GivenRange | undefined, numbers: string[] | undefined): Pick<ImportCall, 'source' | 'count'> {
  if (numbers && !range) return { source: { numbers: sorted(numbers) }, count: numbers.length }
  if (!range || numbers) throw new InvalidArgumentError('range', 'or `numbers` is needed, one of the two.')
  const [from, to] = [BigInt(range.from), BigInt(range.to)]
  const count = to - from + 1n
  if (count < 1n) throw new InvalidArgumentError('range.to', `is less than \`from\`.`)
  if (count > MOST)
    throw new InvalidArgumentError('range', `has ${count} numbers; at most ${MOST} can be imported at once.`)
  return { source: { from, to, format: readFormat(range.format, to) }, count: Number(count) }
}

function longestOf({ to, format }: Range): string {
  return format.before + String(to).padStart(format.width, '0') + format.after
}
