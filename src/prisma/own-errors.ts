import { isReadOnly } from '../engine/error-facts.js'

/** The answer of work of ours, or its error as the caller is to have it: for statements of a model, as its calls have it. */
export async function withOwnErrors<R>(work: PromiseLike<R>, model?: string): Promise<R> {
  try {
    return await work
  } catch (error) {
    if (model === undefined && !isReadOnly(error)) throw error
    const { asOwnError } = await import('./model-error.js')
    throw asOwnError(error, model)
  }
}

/** The same of a savepoint, whose body may have any error of its own. */
export async function inSavepoint<R>(work: Promise<R>): Promise<R> {
  try {
    return await work
  } catch (error) {
    if (!/createSavepoint is not/.test(String(error))) throw error
    const { lacksSavepoints } = await import('./model-error.js')
    throw lacksSavepoints(error)
  }
}
