import type { Expression } from '../engine/data-model.js'

const DIGITS = '0123456789'
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const BASE_36 = DIGITS + LETTERS
/** Crockford's alphabet of ULIDs. */
const BASE_32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Those of a URL. */
const BASE_64 = `${BASE_36}${LETTERS.toUpperCase()}_-`

/**
 * Makes the values of a field whose default only Prisma's client makes, as the schema has it: `uuid()`, `uuid(7)`,
 * `cuid()`, `cuid(2)`, `nanoid(n)`, `ulid()`. `undefined` for any other.
 */
export function clientDefault(expression: Expression): (() => string) | undefined {
  if (expression.kind !== 'call') return undefined
  const [argument] = expression.args
  const number = argument?.value.kind === 'number' ? Number(argument.value.text) : undefined
  switch (`${expression.name}(${expression.name === 'nanoid' ? '' : (number ?? '')})`) {
    case 'uuid()':
    case 'uuid(4)':
      return () => crypto.randomUUID()
    case 'uuid(7)':
      return uuid7
    case 'cuid()':
    case 'cuid(1)':
      return cuid
    case 'cuid(2)':
      return () => randomText(1, LETTERS) + randomText(23, BASE_36)
    case 'nanoid()':
      return () => randomText(number ?? 21, BASE_64)
    case 'ulid()':
      return () => timeText(BASE_32, 10) + randomText(16, BASE_32)
    default:
      return undefined
  }
}

/** RFC 9562: 48 bits of the time in ms, the version, and random bits with the variant. */
function uuid7(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`
}

const PROCESS = randomText(4, BASE_36)
let made = 0

/** The letter c, the time, a counter, the process, and eight random characters. */
function cuid(): string {
  made = (made + 1) % 36 ** 4
  const counter = made.toString(36).padStart(4, '0')
  return `c${timeText(BASE_36, 8)}${counter}${PROCESS}${randomText(8, BASE_36)}`
}

function timeText(alphabet: string, length: number): string {
  let text = ''
  for (let time = Date.now(); text.length < length; time = Math.floor(time / alphabet.length)) {
    text = `${alphabet[time % alphabet.length]}${text}`
  }
  return text
}

function randomText(length: number, alphabet: string): string {
  const numbers = crypto.getRandomValues(new Uint32Array(length))
  return Array.from(numbers, (number) => alphabet[number % alphabet.length]).join('')
}
