/** The reason with which the promise rejects; fails if it resolves. */
export async function rejectionOf(work: PromiseLike<unknown>): Promise<unknown> {
  let value: unknown
  try {
    value = await work
  } catch (error) {
    return error
  }
  throw new Error(`Resolved to ${JSON.stringify(value)}, but should have been rejected.`)
}
