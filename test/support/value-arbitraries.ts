import fc from 'fast-check'
import { Prisma } from '../../generated/prisma/client.js'
import type { ValueKind } from './value-kinds.js'

/** A value to write. */
export interface Sample {
  readonly value: unknown
  /** Whether Prisma stores what was given, if it stores it. Of others our statements may refuse what it distorts. */
  readonly isHonest: boolean
}

const text = fc.string({ unit: 'binary', maxLength: 8 }).filter((value) => !/[\0\p{Surrogate}]/u.test(value))
const moment = fc.date({
  min: new Date('0001-01-02T00:00:00Z'),
  max: new Date('9999-12-30T00:00:00Z'),
  noInvalidDate: true,
})
const pad = (value: number) => String(value).padStart(2, '0')
const offset = fc
  .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 30, 59))
  .map(([sign, hours, minutes]) => `${sign}${pad(hours)}:${pad(minutes)}`)
const fraction = fc.stringMatching(/^(?:\.\d{1,9})?$/)
const momentText = fc
  .tuple(moment, fraction, fc.oneof(fc.constantFrom('Z', 'z'), offset), fc.constantFrom('T', ' ', 't'))
  .map(
    ([date, digits, zone, separator]) => `${date.toISOString().slice(0, 19).replace('T', separator)}${digits}${zone}`,
  )
const decimalText = fc.stringMatching(/^[+-]?(?:\d{1,12}(?:\.\d{0,8})?|\.\d{1,8})(?:[eE][+-]?\d)?$/)
/** The first has 15 digits, and is 999999999999.9969 with the 16 that Prisma gives. */
const decimalNumber = fc.oneof(
  fc.constantFrom(999999999999.997, 1 / 3, 0.1 + 0.2),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 }),
)
const json = fc
  .jsonValue({ maxDepth: 3, stringUnit: 'grapheme' })
  .filter((value) => value !== null && !/\\u0000|\\ud[89a-f]|__proto__|"constructor"/i.test(JSON.stringify(value)))

const TEXTS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  Uuid: fc.oneof(
    fc.uuid(),
    fc.uuid().map((id) => id.toUpperCase()),
    fc.uuid().map((id) => `{${id.replaceAll('-', '')}}`),
    text,
  ),
  Inet: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('10.0.0.1/8', '::1/64', 'localhost')),
  Bit: fc.stringMatching(/^[01]{3,5}$/),
  VarBit: fc.stringMatching(/^[01]{0,5}$/),
  Xml: fc.constantFrom('<a/>', '<a b="c"> d </a>', 'text', '', '<a', '<a>&amp;</a>'),
}

function honest({ name, type }: ValueKind): fc.Arbitrary<unknown> {
  switch (type) {
    case 'String':
      return (
        TEXTS[name] ??
        fc.oneof(
          text,
          text.map((value) => `${value}   `),
        )
      )
    case 'Boolean':
      return fc.boolean()
    case 'Int':
      if (name === 'Oid') return fc.nat()
      return name === 'SmallInt' ? fc.integer({ min: -33_000, max: 33_000 }) : fc.integer()
    case 'BigInt':
      return fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger())
    case 'Float':
      return fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer(),
        fc.float({ noNaN: true, noDefaultInfinity: true }),
      )
    case 'Decimal':
      return fc.oneof(
        decimalNumber,
        decimalText,
        fc.integer(),
        decimalText.map((value) => new Prisma.Decimal(value)),
      )
    case 'DateTime':
      return fc.oneof(moment, momentText)
    case 'Json':
      return json
    case 'Bytes':
      return fc.uint8Array({ maxLength: 8 })
    default:
      return fc.constantFrom('GOOD', 'BAD')
  }
}

class Point {
  readonly x = 1
}
const sparse: unknown[] = [1, 2, 3]
delete sparse[1]
const circle: Record<string, unknown> = {}
circle.self = circle

/**
 * Values that are wrong for most kinds, and right for some. Not a Decimal look-alike whose text is no number: in a
 * list Prisma refuses it in one form of its own update, and stores the text in another.
 */
const odd: fc.Arbitrary<unknown> = fc.constantFrom<unknown>(
  ...[
    '',
    ' ',
    'a\0b',
    'a\ud800',
    '\udfff',
    'true',
    '5',
    ' 7 ',
    '0x10',
    '0b11',
    '1_000',
    '1e400',
    'NaN',
    'Infinity',
    '-0',
  ],
  ...['2024-02-30T00:00:00Z', '2023-02-29T00:00:00Z', '2024-02-29T24:00:00Z', '2024-02-29T23:59:60Z', '2024-02-29'],
  ...[
    '2024-02-29T12:00:00',
    '2024-02-29T12:00Z',
    '2024-02-29T12:00:00+02',
    '2024-02-29T12:00:00+0200',
    'now',
    'infinity',
  ],
  ...['0000-01-01T00:00:00Z', '+010000-01-01T00:00:00Z', '9999-12-31T23:59:59-05:00', '0001-01-01T00:00:00+05:00'],
  ...['YWI=', 'very bad', 'constructor', '__proto__', 'GOOD', '<a', '\\x00', '{}', 'null'],
  ...[
    0,
    -0,
    1,
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 15,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 60 + 512,
    2 ** 63,
    1e21,
  ],
  ...[
    1.234e22,
    1e40,
    5e-324,
    0.1 + 0.2,
    1_234_567_890_123_456.5,
    0n,
    5n,
    2n ** 31n,
    2n ** 63n,
    -(2n ** 63n),
    2n ** 70n,
  ],
  ...[
    true,
    false,
    null,
    {},
    [],
    { a: 1n },
    { a: Number.NaN },
    { a: undefined },
    { a: new Date(0) },
    { a: new Date(Number.NaN) },
    [new Date('+010000-01-01T00:00:00Z')],
    { a: () => 1 },
    { 'a\0': 1 },
  ],
  ...[
    { set: 5 },
    { increment: 1 },
    { a: '\ud800' },
    { $type: 'DateTime', value: 'x' },
    JSON.parse('{"__proto__":{"a":1}}'),
  ],
  ...[{ a: new Prisma.Decimal('1.5') }, { a: new Uint8Array([1]) }, { constructor: { name: 'X' }, d: new Date(0) }],
  ...[
    [undefined],
    sparse,
    [[1], [2]],
    [null],
    circle,
    new Point(),
    new Map([[1, 2]]),
    new Set([1]),
    /x/,
    new URL('http://a/'),
  ],
  ...[
    () => 1,
    Symbol('x'),
    new Date(0),
    new Date(Number.NaN),
    new Date('+010000-01-01T00:00:00Z'),
    new Date('-000001-01-01T00:00:00Z'),
  ],
  ...[new Date('0000-06-01T00:00:00Z'), new Date('9999-12-31T23:59:59.999Z'), Object(5), Object('x'), Object(true)],
  ...[
    new Uint8Array([1, 255]),
    new Uint16Array([1]),
    new ArrayBuffer(2),
    new DataView(new ArrayBuffer(1)),
    { toJSON: () => 'x' },
  ],
  ...[
    new Prisma.Decimal(Number.NaN),
    new Prisma.Decimal(Number.POSITIVE_INFINITY),
    new Prisma.Decimal('1e-40'),
    new Prisma.Decimal('-0'),
  ],
  ...[{ d: [5], e: 0, s: 1, toFixed: () => '5' }, Prisma.JsonNull, Prisma.DbNull, Prisma.AnyNull],
)

export function sampleOf(kind: ValueKind, isList: boolean): fc.Arbitrary<Sample> {
  const good = honest(kind)
  const value = isList ? fc.array(good, { maxLength: 4 }) : good
  const wrong = isList ? fc.oneof(odd, fc.tuple(good, odd), fc.tuple(odd)) : odd
  return fc.oneof(
    { weight: 3, arbitrary: value.map((value) => ({ value, isHonest: isExact(value) })) },
    { weight: 2, arbitrary: wrong.map((value) => ({ value, isHonest: false })) },
  )
}

/** Numbers of more than 15 digits are changed by Prisma in some places, and written with an exponent in others. */
function isExact(value: unknown): boolean {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) || (Number(value.toPrecision(15)) === value && !String(value).includes('e'))
  }
  if (Array.isArray(value)) return value.every(isExact)
  return value?.constructor !== Object || Object.values(value).every(isExact)
}
