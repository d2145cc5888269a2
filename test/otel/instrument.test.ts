import { randomInt, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { context, propagation, SpanStatusCode } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { suppressTracing } from '@opentelemetry/core'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { instrumentsOf } from '../../src/otel/instruments.js'
import { instrument } from '../../src/otel.js'
import { useDatabase } from '../support/clients.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
})
afterAll(() => context.disable())

/** An instrumentation, and what it has exported. */
function exporting() {
  const spans = new InMemorySpanExporter()
  const tracing = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })
  const metering = new MeterProvider({ readers: [reader] })
  const tracer = tracing.getTracer('test')
  /** The points of a metric, by its name. */
  const points = async (name: string) => {
    exporter.reset()
    await metering.forceFlush()
    const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    return all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
  }
  return {
    options: instrument({ tracer, meter: metering.getMeter('test') }),
    tracer,
    spans: () => spans.getFinishedSpans(),
    points,
  }
}

const database = useDatabase()
const product = async () => {
  const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  return row?.id as number
}

test('a call of a model is a span with its attempts, outcome and events, and no key', async () => {
  const { options, spans, points } = exporting()
  const db = database.connect().client.$extends(concurrency(options))
  const id = await product()
  const intrude = () => database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
  await db.product.updateVersioned({
    where: { id },
    data: async (_, attempt) => {
      if (attempt === 1) await intrude()
      return { stock: 1 }
    },
  })
  const [span] = spans()
  expect(span?.name).toBe('updateVersioned Product')
  expect(span?.attributes).toEqual({
    'db.system.name': 'postgresql',
    'db.operation.name': 'updateVersioned',
    'db.collection.name': 'Product',
    'concurrency.attempts': 2,
    'concurrency.outcome': 'done',
  })
  expect(span?.events.map(({ name }) => name).filter((name) => name !== 'wait')).toEqual(['conflict', 'retry'])
  expect(JSON.stringify(span?.events)).not.toContain('key')
  const attributes = { 'db.operation.name': 'updateVersioned', 'db.collection.name': 'Product' }
  expect(await points('concurrency.conflicts')).toMatchObject([
    { value: 1, attributes: { ...attributes, 'concurrency.reason': 'version' } },
  ])
  expect(await points('concurrency.attempts')).toMatchObject([{ value: { count: 1, sum: 2 }, attributes }])
})

test('a call that fails has the code of its error, and not its message', async () => {
  const { options, spans } = exporting()
  const db = database.connect().client.$extends(concurrency(options))
  const id = await product()
  await rejectionOf(db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 1 } }))
  const [span] = spans()
  expect(span?.status).toEqual({ code: SpanStatusCode.ERROR })
  expect(span?.attributes).toMatchObject({ 'error.type': 'VERSION_CONFLICT', 'concurrency.outcome': 'failed' })
})

describeEngines(({ connect, connectErp, database, name }) => {
  const newItem = async () => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    const insert = `WITH item AS (INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 10))
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', 10)`
    await database.query(insert, [item.productId, randomUUID()])
    return item
  }

  test('a combined statement is one span, linked with all the calls in it', async () => {
    const { options, spans, points } = exporting()
    const { db } = await connectErp(name, { options })
    const item = await newItem()
    const move = () => db.$stock.move({ transactionId: randomUUID(), item, quantity: -1 })
    await Promise.all([move(), move(), move()])
    const [batch] = spans().filter((span) => span.name === 'batch $stock.move')
    const calls = spans().filter((span) => span.name === '$stock.move')
    expect(batch?.attributes).toMatchObject({ 'db.operation.batch.size': 3, 'db.operation.name': '$stock.move' })
    const idsOf = (all: readonly { context: { spanId: string } }[] = []) =>
      all.map(({ context }) => context.spanId).sort()
    expect(idsOf(batch?.links)).toEqual(calls.map((span) => span.spanContext().spanId).sort())
    for (const call of calls) expect(idsOf(call.links)).toEqual([batch?.spanContext().spanId])
    expect(await points('concurrency.batch.size')).toMatchObject([{ value: { count: 1, sum: 3 } }])
  })

  test('a combined statement has nothing of the context of one of its calls, which may not be traced itself', async () => {
    const { options, spans } = exporting()
    const seen: (string | undefined)[] = []
    const around: typeof options.around = (work, run) =>
      options.around(work, () => {
        if (work.kind === 'batch') seen.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value)
        return run()
      })
    const { db } = await connectErp(name, { options: { ...options, around } })
    const item = await newItem()
    const move = () => db.$stock.move({ transactionId: randomUUID(), item, quantity: -1 }).then(() => {})
    const baggage = propagation.createBaggage({ tenant: { value: 'a' } })
    const untraced = propagation.setBaggage(suppressTracing(context.active()), baggage)
    await Promise.all([context.with(untraced, move), move(), move()])

    const linked = spans().map((span) => `${span.name}: ${span.links.length}`)
    expect(linked.sort()).toEqual(['$stock.move: 1', '$stock.move: 1', 'batch $stock.move: 2'])
    expect(seen).toEqual([undefined])
  })

  test('calls in a body are children of its span, and it is one of the span around it', async () => {
    const { options, spans, tracer } = exporting()
    const { db } = await connect(name, { options })
    await tracer.startActiveSpan('request', async (request) => {
      await db.$transactionWithRetry((tx) => tx.$advisoryXactLock(randomUUID()))
      request.end()
    })
    const parents = spans().map((span) => [span.name, span.parentSpanContext?.spanId])
    const idOf = (wanted: string) =>
      spans()
        .find((span) => span.name === wanted)
        ?.spanContext().spanId
    expect(parents).toEqual([
      ['$advisoryXactLock', idOf('$transactionWithRetry')],
      ['$transactionWithRetry', idOf('request')],
      ['request', undefined],
    ])
  })

  test('replays, refusals, held locks, waits and the queue are measured', async () => {
    const { options, spans, points } = exporting()
    const { db } = await connect(name, { options, poolSize: 2 })
    const call = { key: randomUUID(), scope: 'test' }
    await db.$idempotent({ ...call, request: 1 }, async () => {})
    await db.$idempotent({ ...call, request: 1 }, async () => {})
    await rejectionOf(db.$idempotent({ ...call, request: 2 }, async () => {}))
    const [held, going] = [gate(), gate()]
    const lock = randomUUID()
    const first = db.$withAdvisoryLock(lock, async () => {
      held.open()
      await going.opened
    })
    await held.opened
    const others = [1, 2].map(() => db.$withAdvisoryLock(lock, async () => {}))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await points('concurrency.queue.depth')).toMatchObject([
      { value: 2, attributes: { 'db.operation.name': '$withAdvisoryLock' } },
    ])
    going.open()
    await Promise.all([first, ...others])

    expect(await points('concurrency.replays')).toMatchObject([
      { value: 1, attributes: { 'db.operation.name': '$idempotent' } },
    ])
    expect(await points('concurrency.refusals')).toMatchObject([
      { value: 1, attributes: { 'error.type': 'IDEMPOTENCY_MISMATCH' } },
    ])
    expect(await points('concurrency.lock.held.duration')).toMatchObject([{ value: { count: 3 } }])
    const waits = await points('concurrency.wait.duration')
    expect(waits.map(({ attributes }) => attributes['concurrency.wait.kind'])).toContain('queue')
    const outcomes = spans().filter((span) => span.name === '$idempotent')
    expect(outcomes.map(({ attributes }) => attributes['concurrency.outcome'])).toEqual(['done', 'replayed', 'refused'])
  })
})

describe('the dashboard for Grafana', () => {
  test('is JSON, and names only metrics that there are', async () => {
    const names: string[] = []
    const meter = new Proxy({}, { get: () => (name: string) => names.push(name) })
    instrumentsOf(meter as never)
    const text = await readFile(new URL('../../docs/grafana/dashboard.json', import.meta.url), 'utf8')
    const dashboard = JSON.parse(text) as { panels: { targets?: { expr: string }[] }[] }
    const used = dashboard.panels
      .flatMap(({ targets = [] }) => targets)
      .flatMap(({ expr }) => expr.match(/concurrency_[a-z_]+/g) ?? [])
    // Prometheus writes dots as underscores, and adds the unit, and what a series of a histogram or a counter is.
    const known = names.map((each) => each.replaceAll('.', '_'))
    const unknown = used.filter(
      (each) => !known.includes(each.replace(/(_seconds)?(_bucket|_sum|_count|_total)?$/, '')),
    )
    const labels = /concurrency_(reason|wait_kind)/
    expect(used.length).toBeGreaterThan(8)
    expect(unknown.filter((each) => !labels.test(each))).toEqual([])
    expect(known.filter((each) => !used.some((one) => one.startsWith(each)))).toEqual([])
  })
})
