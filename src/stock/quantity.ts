import type { Field } from '../engine/data-model.js'
import { decimalMaker } from '../engine/decimal.js'
import type { Session } from '../engine/session.js'
import { type DecimalLike, InvalidArgumentError, type StockQuantity } from '../errors/index.js'
import { HIGHEST } from '../sql/key-value.js'
import { isDecimal } from '../values/canonical.js'

const HIGHEST_SMALL = 2n ** 15n - 1n
/** Prisma's own type of a Decimal without `@db.Decimal(p, s)`. */
const USUAL_DECIMAL = { precision: 65, scale: 30 }
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i

/**
 * The numbers of a stock, all of one type. Inside they are whole numbers, of the smallest unit that
 * the column can hold: 1.5 in a Decimal(12, 3) is 1500n. So sums are exact in every type.
 */
export class Quantities {
  readonly type: string
  readonly scale: number
  /** The highest number that the column holds; the lowest is its opposite. */
  readonly highest: bigint
  readonly sqlType: string
  /** A type for sums and differences, which does not overflow. */
  readonly wideSqlType: string
  /** A balance this far from `highest` that is changed by no more than this stays in the column's range. */
  readonly margin: bigint
  #makeDecimal: ((text: string) => DecimalLike) | undefined

  constructor(field: Field) {
    this.type = field.type
    const [, precision, scale] = /^Decimal\((\d+),\s*(\d+)\)/.exec(field.nativeType ?? '') ?? []
    this.scale = field.type === 'Decimal' ? Number(scale ?? USUAL_DECIMAL.scale) : 0
    const digits = BigInt(precision ?? USUAL_DECIMAL.precision)
    const whole = field.nativeType === 'SmallInt' ? HIGHEST_SMALL : HIGHEST[field.type]
    this.highest = whole ?? 10n ** digits - 1n
    this.sqlType = { Int: 'int4', BigInt: 'int8' }[field.type] ?? 'numeric'
    this.wideSqlType = field.type === 'Int' ? 'int8' : 'numeric'
    this.margin = this.highest >> 4n
  }

  /** Whether the column holds whatever the other one does, and as exactly. */
  holds(other: Quantities): boolean {
    return this.type === other.type && this.scale === other.scale && this.highest >= other.highest
  }

  /** @throws InvalidArgumentError if the value is no number, or one that the column would round or refuse */
  read(value: unknown, path: string): bigint {
    // Prisma takes no bigint for an Int.
    const isNumber =
      this.type === 'Decimal' || typeof value === 'number' || (typeof value === 'bigint' && this.type === 'BigInt')
    const units = isNumber ? this.#units(value) : undefined
    if (units === undefined) throw new InvalidArgumentError(path, `must be ${this.#wanted()}.`)
    if (!this.fits(units)) throw new InvalidArgumentError(path, `is beyond what a column of type ${this.type} holds.`)
    return units
  }

  fits(units: bigint): boolean {
    return units <= this.highest && units >= -this.highest
  }

  /** A number as the database wrote it. */
  parse(text: string): bigint {
    return this.#units(text) as bigint
  }

  /** The number for the database. */
  text(units: bigint): string {
    if (this.scale === 0) return units.toString()
    const digits = (units < 0n ? -units : units).toString().padStart(this.scale + 1, '0')
    return `${units < 0n ? '-' : ''}${digits.slice(0, -this.scale)}.${digits.slice(-this.scale)}`
  }

  /** Needed once before `value` gives Decimals: their class is taken from one that Prisma made. */
  async prepare(session: Session): Promise<void> {
    if (this.type === 'Decimal') this.#makeDecimal ??= await decimalMaker(session)
  }

  /** The number as the caller knows it: of the type that Prisma gives the column. */
  value(units: bigint): StockQuantity {
    if (this.type === 'Int') return Number(units)
    return this.#makeDecimal ? this.#makeDecimal(this.text(units)) : units
  }

  #units(value: unknown): bigint | undefined {
    if (typeof value === 'bigint') return value * 10n ** BigInt(this.scale)
    if (this.type !== 'Decimal' && typeof value === 'number')
      return Number.isSafeInteger(value) ? BigInt(value) : undefined
    const text = typeof value === 'object' && value !== null && isDecimal(value) ? value.toFixed() : value
    if (typeof text === 'number') return Number.isFinite(text) ? this.#fromText(String(text)) : undefined
    return typeof text === 'string' ? this.#fromText(text) : undefined
  }

  #fromText(text: string): bigint | undefined {
    const [match, sign, whole = '', fraction = '', exponent = '0'] = DECIMAL.exec(text) ?? []
    if (match === undefined || whole + fraction === '') return undefined
    const shift = this.scale - fraction.length + Number(exponent)
    const digits = BigInt(whole + fraction)
    // A digit below the smallest unit would be rounded away.
    const units = shift >= 0 ? digits * 10n ** BigInt(shift) : divided(digits, 10n ** BigInt(-shift))
    return units === undefined || sign !== '-' ? units : -units
  }

  #wanted(): string {
    if (this.type === 'Int') return 'a whole number'
    if (this.type === 'BigInt') return 'a whole number or a bigint'
    return `a number, a Decimal or its text, with at most ${this.scale} decimals`
  }
}

function divided(digits: bigint, divisor: bigint): bigint | undefined {
  return digits % divisor === 0n ? digits / divisor : undefined
}
