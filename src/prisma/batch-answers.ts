/** The calls of one tick that Prisma sends together (read on 7.10). */
interface Batch {
  readonly requests: readonly { readonly transaction?: { readonly kind: string } | undefined }[]
}

interface BatchCall {
  readonly args: unknown
  readonly query: (args: unknown, batch: Batch) => Promise<unknown[]>
  readonly __internalParams: Batch
}

/**
 * Prisma sends the calls that come on a `tx` in one tick as one batch. The first that fails ends it:
 * those behind it are not sent, and resolve to `undefined` all the same. So the rest is sent again, as
 * often as it takes: every call has an answer of its own.
 */
async function answerAll({ args, query, __internalParams: batch }: BatchCall): Promise<unknown[]> {
  const { requests } = batch
  if (requests[0]?.transaction?.kind !== 'itx') return query(args, batch)
  const send = async (rest: Batch['requests']) => {
    try {
      return await query(args, { ...batch, requests: rest })
    } catch (error) {
      // Thrown, and not among the answers: the batch could not be compiled, so nothing of it was sent.
      if (rest.length === 1) return [error]
      return query(args, { ...batch, requests: rest.slice(0, 1) }).catch((own: unknown) => [own])
    }
  }
  const answers: unknown[] = []
  while (answers.length < requests.length) {
    const more = await send(requests.slice(answers.length))
    if (more.length === 0) throw new Error('Prisma has given no answer to a call in a transaction.')
    answers.push(...more)
  }
  return answers
}

/** For the client, and not among the hooks of a `tx`: a batch has the hooks of its first call, which may be our own. */
export const batchHook: Record<never, never> = { $__internalBatch: answerAll }
