const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i

/**
 * A `numeric` of the database, with all of its digits. It is a Decimal as far as this package and Prisma
 * are concerned: `toFixed()` gives its digits, without zeros at the end.
 */
export class Numeric {
  /** Sign, exponent and digits, as other classes of decimals have them. */
  readonly s: number
  readonly e: number
  readonly d: readonly number[]
  readonly #text: string

  constructor(text: string) {
    const [, sign = '', whole = '', fraction = '', power = '0'] = NUMBER.exec(text) ?? []
    const isNumber = whole !== '' || fraction !== ''
    const point = whole.length + Number(power)
    const digits = (whole + fraction).padEnd(Math.max(0, point), '0')
    const padded = point < 0 ? '0'.repeat(-point) + digits : digits
    const integer = padded.slice(0, Math.max(0, point)).replace(/^0+/, '') || '0'
    const rest = padded.slice(Math.max(0, point)).replace(/0+$/, '')
    const plain = rest === '' ? integer : `${integer}.${rest}`
    const isNegative = sign === '-' && plain !== '0'
    this.#text = isNumber ? `${isNegative ? '-' : ''}${plain}` : text // NaN, Infinity
    this.s = isNegative ? -1 : 1
    this.e = integer.length - 1
    this.d = Array.from(`${integer}${rest}`, Number)
  }

  toFixed(): string {
    return this.#text
  }

  toString(): string {
    return this.#text
  }

  toJSON(): string {
    return this.#text
  }

  valueOf(): string {
    return this.#text
  }
}
