export interface HttpRequest {
  readonly method: string
  readonly path: string
  /** The Idempotency-Key, without its quotes. */
  readonly key?: string | undefined
  /** A text is sent as it is, anything else as JSON. */
  readonly body?: unknown
}

export interface HttpAnswer {
  readonly status: number
  readonly type: string | null
  readonly location: string | null
  readonly retryAfter: string | null
  readonly text: string
}

/** A request over the network, and all of its answer. */
export async function sendTo(url: string, { method, path, key, body }: HttpRequest): Promise<HttpAnswer> {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  const answer = await fetch(`${url}${path}`, {
    method,
    ...(key === undefined ? {} : { headers: { 'idempotency-key': JSON.stringify(key) } }),
    ...(text === undefined ? {} : { body: text }),
  })
  return {
    status: answer.status,
    type: answer.headers.get('content-type'),
    location: answer.headers.get('location'),
    retryAfter: answer.headers.get('retry-after'),
    text: await answer.text(),
  }
}
