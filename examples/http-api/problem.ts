import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { isConcurrencyError } from 'prisma-extension-concurrency'
import { z } from 'zod'

/** An answer that says what is wrong, in the format of RFC 9457. */
export class Problem extends Error {
  readonly status: ContentfulStatusCode
  readonly title: string
  readonly members: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: ContentfulStatusCode,
    title: string,
    detail: string,
    { members = {}, headers = {} }: { members?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(detail)
    this.status = status
    this.title = title
    this.members = members
    this.headers = headers
  }
}

export const notFound = () => new Problem(404, 'Not found', 'It does not exist, or not any more.')

/** The handler of everything that is thrown. */
export function answerProblem(error: Error, c: Context): Response {
  const problem = problemOf(error)
  if (problem.status === 500) console.error(error)
  const { status, title, message: detail, members, headers } = problem
  return c.json({ title, status, detail, ...members }, status, {
    ...headers,
    'content-type': 'application/problem+json',
  })
}

function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error
  // Sections 2.6 and 2.7 of draft-ietf-httpapi-idempotency-key-header.
  if (isConcurrencyError(error, 'IDEMPOTENCY_IN_PROGRESS')) {
    const detail = 'The first request with this Idempotency-Key is still running. Send it again for its answer.'
    return new Problem(409, 'Still running', detail, { headers: { 'retry-after': '1' } })
  }
  if (isConcurrencyError(error, 'IDEMPOTENCY_MISMATCH')) {
    return new Problem(422, 'Idempotency-Key was used before', 'It came with another payload then. Use a new key.')
  }
  return new Problem(500, 'Internal error', 'Something went wrong on our side.')
}

/** @throws Problem 400 that says what does not fit */
export async function body<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await c.req.text()
  const parsed = schema.safeParse(jsonOf(text))
  if (parsed.success) return parsed.data
  throw new Problem(400, 'The body does not fit', z.prettifyError(parsed.error))
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Problem(400, 'The body does not fit', 'It is not JSON.')
  }
}

const idSchema = z
  .string()
  .regex(/^[1-9]\d{0,9}$/)
  .transform(Number)
  .refine((id) => id < 2 ** 31)

/** @throws Problem 404: there is nothing at an id that cannot be */
export function idOf(c: Context): number {
  const parsed = idSchema.safeParse(c.req.param('id'))
  if (!parsed.success) throw notFound()
  return parsed.data
}
