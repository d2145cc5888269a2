import {
  type Attributes,
  context,
  isSpanContextValid,
  type Meter,
  metrics,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { ConcurrencyEvent, EventOptions, ObservedWork } from '../events/types.js'
import { type Instruments, instrumentsOf } from './instruments.js'

/** The tracer and the meter; those of the global providers unless given. */
export interface InstrumentOptions {
  readonly tracer?: Tracer
  readonly meter?: Meter
}

/** Options for `concurrency()`. */
export type Instrumentation = Required<Pick<EventOptions, 'onEvent' | 'around'>>

const NAME = 'prisma-extension-concurrency'

/** A public call that is under way. */
interface OpenCall {
  readonly work: ObservedWork
  readonly span: Span
  readonly attributes: Attributes
  attempts: number
  outcome: string | undefined
  /** While it holds the lock: since when. */
  heldSince: number | undefined
}

/** How a call has ended that an event tells of. */
const OUTCOMES: Partial<Record<ConcurrencyEvent['type'], string>> = {
  replay: 'replayed',
  refusal: 'refused',
  'outcome-unknown': 'unknown',
  deadline: 'deadline',
}

/**
 * Spans and metrics of OpenTelemetry for the options of `concurrency()`, on Prisma and on `/pg`.
 *
 * Each public call is a span, such as `updateVersioned Product` or `$stock.move`, in whose context its statements are
 * sent. Calls that are sent as one have a span of their own, `batch $stock.move`, with a link to each of them, and each
 * has a link to it. Neither keys nor the messages of errors are in any of them.
 *
 * @example
 * const { onEvent, around } = instrument()
 * const db = new PrismaClient({ adapter }).$extends(concurrency({ onEvent, around }))
 *
 * Source: OpenTelemetry, "Semantic conventions for database client spans".
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  const calls = new Map<number, OpenCall>()
  const tracer = options.tracer ?? trace.getTracer(NAME)
  const instruments = instrumentsOf(options.meter ?? metrics.getMeter(NAME))
  instruments.queueDepth.addCallback((result) => {
    const depths = new Map<Attributes, number>()
    const byName = new Map<string, Attributes>()
    for (const { work, attributes } of calls.values()) {
      const name = nameOf(work)
      const same = byName.get(name) ?? attributes
      byName.set(name, same)
      depths.set(same, (depths.get(same) ?? 0) + (work.isWaiting ? 1 : 0))
    }
    for (const [attributes, depth] of depths) result.observe(depth, attributes)
  })
  return {
    around: (work, run) =>
      work.kind === 'call'
        ? aroundCall({ calls, tracer, instruments }, work, run)
        : aroundBatch(calls, tracer, work, run),
    onEvent: (event) => note(event, calls.get(event.call), instruments),
  }
}

interface Setting {
  readonly calls: Map<number, OpenCall>
  readonly tracer: Tracer
  readonly instruments: Instruments
}

async function aroundCall({ calls, tracer, instruments }: Setting, work: ObservedWork, run: () => Promise<unknown>) {
  const attributes = attributesOf(work)
  const span = tracer.startSpan(nameOf(work), { attributes: { 'db.system.name': 'postgresql', ...attributes } })
  const call: OpenCall = { work, span, attributes, attempts: 1, outcome: undefined, heldSince: undefined }
  calls.set(work.id, call)
  let errorType: string | undefined
  try {
    await context.with(trace.setSpan(context.active(), span), run)
  } catch (error) {
    errorType = typeOf(error)
  }
  calls.delete(work.id)
  if (call.heldSince !== undefined) {
    instruments.heldDuration.record((performance.now() - call.heldSince) / 1_000, attributes)
  }
  instruments.attempts.record(call.attempts, attributes)
  const outcome = call.outcome ?? (errorType === undefined ? 'done' : 'failed')
  span.setAttributes({ 'concurrency.attempts': call.attempts, 'concurrency.outcome': outcome })
  if (errorType !== undefined) {
    span.setAttribute('error.type', errorType)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}

/** A trace of its own, without the baggage of any caller: it is a part of the calls of several. */
async function aroundBatch(
  calls: ReadonlyMap<number, OpenCall>,
  tracer: Tracer,
  work: ObservedWork,
  run: () => Promise<unknown>,
) {
  const spans = (work.calls ?? []).flatMap((id) => calls.get(id)?.span ?? [])
  const attributes = {
    'db.system.name': 'postgresql',
    ...attributesOf(work),
    'db.operation.batch.size': work.calls?.length ?? 1,
  }
  const links = spans
    .map((each) => ({ context: each.spanContext() }))
    .filter((link) => isSpanContextValid(link.context))
  const span = tracer.startSpan(`batch ${nameOf(work)}`, { attributes, links }, ROOT_CONTEXT)
  for (const each of spans) each.addLink({ context: span.spanContext() })
  try {
    await context.with(trace.setSpan(ROOT_CONTEXT, span), run)
  } catch (error) {
    span.setAttribute('error.type', typeOf(error))
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}

function note(event: ConcurrencyEvent, call: OpenCall | undefined, instruments: Instruments): void {
  const attributes = attributesOf(event)
  const { type } = event
  if (type === 'conflict') instruments.conflicts.add(1, { ...attributes, 'concurrency.reason': event.reason })
  if (type === 'deadlock') instruments.conflicts.add(1, { ...attributes, 'concurrency.reason': 'deadlock' })
  if (type === 'wait')
    instruments.waits.record(event.ms / 1_000, { ...attributes, 'concurrency.wait.kind': event.kind })
  if (type === 'batch') instruments.batches.record(event.size, attributes)
  if (type === 'replay') instruments.replays.add(1, attributes)
  if (type === 'refusal') instruments.refusals.add(1, { ...attributes, 'error.type': event.code })
  if (type === 'outcome-unknown') instruments.unknown.add(1, attributes)
  if (call === undefined) return
  if (type === 'retry') call.attempts++
  if (type === 'lock-acquired' && event.operation === '$withAdvisoryLock') call.heldSince = performance.now()
  call.outcome = OUTCOMES[type] ?? call.outcome
  if (type !== 'batch') call.span.addEvent(type, factsOf(event))
}

/** The facts of an event that are neither its call's nor a key. */
function factsOf(event: ConcurrencyEvent): Attributes {
  const { type: _, call: __, operation: ___, model: ____, key: _____, ...facts } = event
  if (!('error' in facts)) return named(facts)
  const { error, ...others } = facts
  return { ...named(others), 'error.type': typeOf(error) }
}

function named(facts: object): Attributes {
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [`concurrency.${name}`, value]))
}

function attributesOf({ operation, model }: Pick<ObservedWork, 'operation' | 'model'>): Attributes {
  return { 'db.operation.name': operation, ...(model !== undefined && { 'db.collection.name': model }) }
}

function nameOf({ operation, model }: ObservedWork): string {
  return model === undefined ? operation : `${operation} ${model}`
}

/** A code is the same each time; a message may hold data. */
function typeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '_OTHER'
  if ('code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.name : '_OTHER'
}
