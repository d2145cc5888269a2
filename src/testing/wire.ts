// PostgreSQL manual, "55.7. Message Formats".
const QUERY = 'Q'.charCodeAt(0)
const PARSE = 'P'.charCodeAt(0)
const BIND = 'B'.charCodeAt(0)
const SYNC = 'S'.charCodeAt(0)
const READY_FOR_QUERY = 'Z'.charCodeAt(0)
const BACKEND_KEY_DATA = 'K'.charCodeAt(0)
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104

/** Cuts a stream into whole messages. The first ones of a client have no type byte before their length. */
export class MessageReader {
  #rest: Buffer = Buffer.alloc(0)
  #typeLength: 0 | 1

  constructor({ firstHasType }: { firstHasType: boolean }) {
    this.#typeLength = firstHasType ? 1 : 0
  }

  *read(bytes: Buffer): Generator<Buffer> {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    for (;;) {
      if (this.#rest.length < this.#typeLength + 4) return
      const length = this.#typeLength + this.#rest.readInt32BE(this.#typeLength)
      if (this.#rest.length < length) return
      const message = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      if (this.#typeLength === 1 || !asksForEncryption(message)) this.#typeLength = 1
      yield message
    }
  }
}

/** Whether a message without a type asks to encrypt the connection, after whose answer the client begins again. */
export function asksForEncryption(message: Buffer): boolean {
  return message.length === 8 && [SSL_REQUEST, GSS_REQUEST].includes(message.readInt32BE(4))
}

/** The statements in the messages of one client. */
export class StatementReader {
  readonly #prepared = new Map<string, string>()
  #isStarted = false
  /** The name that was parsed, and not bound yet. */
  #parsed: string | undefined

  /**
   * The statement that a message begins, if it begins one: a Query, a Parse, or a Bind of what was parsed before.
   * `isLast`: the server answers after this message.
   */
  read(message: Buffer): { readonly statement: string | undefined; readonly isLast: boolean } {
    const statement = this.#isStarted ? this.#begun(message) : undefined
    this.#isStarted = true
    const isLast = message[0] === QUERY || message[0] === SYNC
    if (isLast) this.#parsed = undefined
    return { statement, isLast }
  }

  #begun(message: Buffer): string | undefined {
    if (message[0] === QUERY) return text(message, 5)
    if (message[0] === PARSE) {
      const name = text(message, 5)
      const statement = text(message, 5 + Buffer.byteLength(name) + 1)
      this.#prepared.set(name, statement)
      this.#parsed = name
      return statement
    }
    if (message[0] === BIND) {
      const portal = text(message, 5)
      const name = text(message, 5 + Buffer.byteLength(portal) + 1)
      const isToldAlready = name === this.#parsed
      this.#parsed = undefined
      return isToldAlready ? undefined : this.#prepared.get(name)
    }
    return undefined
  }
}

function text(message: Buffer, start: number): string {
  return message.toString('utf8', start, message.indexOf(0, start))
}

/** Whether the server has answered, and waits for the next statement. */
export function isReady(message: Buffer): boolean {
  return message[0] === READY_FOR_QUERY
}

/** The process id of the session, in the one message that tells it. */
export function pidIn(message: Buffer): number | undefined {
  return message[0] === BACKEND_KEY_DATA ? message.readInt32BE(5) : undefined
}
