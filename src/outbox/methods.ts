import type { Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Feature, Use } from '../mapping/feature.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { isRecord, payloadText } from '../values/validation.js'
import type { OutboxParts } from './calls.js'
import type { AnyHandler } from './types.js'

/** `$outbox` on any engine. It reads the arguments; the code that carries calls out is loaded with the first of them. */
export class OutboxFeature implements Feature {
  readonly errorModel
  readonly models
  readonly map
  readonly #parts: OutboxParts

  constructor(parts: OutboxParts) {
    const { message, key } = parts.map
    this.errorModel = message.model
    this.models = [message.model, key.model]
    this.map = parts.map
    this.#parts = parts
  }

  uses(): readonly (readonly [Model, Use])[] {
    return []
  }

  on(session: Session) {
    const parts = this.#parts
    const changing = (change: 'redrive' | 'discard') => (given: unknown) => {
      const args = argumentsOf(optionsOf(given))
      return async (events?: CallEvents) => {
        const { changeDead } = await import('./calls.js')
        return changeDead(session, parts, { change, args }, events)
      }
    }
    return {
      add: (topic: unknown, given: unknown, options?: unknown) => {
        const args = { ...argumentsOf(optionsOf(options)), topic }
        const payload = payloadText(given)
        return async (events?: CallEvents) => {
          const { add } = await import('./calls.js')
          return add(session, parts, { args, payload }, events)
        }
      },
      relay: (given: unknown, options?: unknown) => {
        const handlers = readHandlers(given)
        const args = { ...optionsOf(options) }
        return async () => {
          const { relay } = await import('./calls.js')
          return relay(session, parts, handlers, args)
        }
      },
      dead: (options?: unknown) => {
        const args = snapshot(optionsOf(options), 'options')
        return async () => {
          const { dead } = await import('./calls.js')
          return dead(session, parts, args)
        }
      },
      redrive: changing('redrive'),
      discard: changing('discard'),
    }
  }
}

function optionsOf(options: unknown): object {
  if (options === undefined || options === null) return {}
  if (!isRecord(options)) throw new InvalidArgumentError('options', 'must be an object.')
  return options
}

function readHandlers(handlers: unknown): Map<string, AnyHandler> {
  if (!isRecord(handlers))
    throw new InvalidArgumentError('handlers', 'must be an object with a function for each topic.')
  const own = new Map<string, AnyHandler>()
  for (const [topic, handler] of Object.entries(handlers)) {
    if (handler === undefined) continue
    if (!isHandler(handler)) throw new InvalidArgumentError(`handlers.${topic}`, 'must be a function.')
    own.set(topic, handler)
  }
  if (own.size === 0) throw new InvalidArgumentError('handlers', 'must have a function for at least one topic.')
  return own
}

function isHandler(handler: unknown): handler is AnyHandler {
  return typeof handler === 'function'
}
