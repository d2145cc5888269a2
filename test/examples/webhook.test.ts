import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test, vi } from 'vitest'
import { connect } from '../../examples/payment-webhook/database.js'
import { type Mail, webhook } from '../../examples/payment-webhook/webhook.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { runExample } from '../support/example.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()

/** Machines that all note the mails they send in one place, and a new customer. */
async function setUp(count = 1, beforeMail = async () => {}) {
  const mails: Mail[] = []
  const sendMail = async (mail: Mail) => {
    await beforeMail()
    mails.push(mail)
  }
  const clients = Array.from({ length: count }, () => connect(database.url))
  onTestFinished(async () => void (await Promise.all(clients.map((client) => client.$disconnect()))))
  const machines = clients.map((client) => webhook(client, sendMail))
  const event = { transactionId: randomUUID(), amount: '12.50', currency: 'EUR', email: `${randomUUID()}@example.com` }
  const [{ id }] = await database.query('INSERT INTO "Customer" (email) VALUES ($1) RETURNING id', [event.email])
  const deliver = async (body: unknown, machine = 0) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return machines[machine].request('/webhooks/payments', { method: 'POST', body: text })
  }
  return { deliver, mails, event, customerId: id }
}

type Event = Awaited<ReturnType<typeof setUp>>['event']

const paymentsOf = ({ transactionId }: Event) =>
  database.query('SELECT amount, currency FROM "Payment" WHERE "transactionId" = $1', [transactionId])

/** Another machine that is about to record the payment. */
const recordElsewhere = ({ transactionId, amount }: Event, customerId: unknown) =>
  openTransaction(
    database.url,
    'INSERT INTO "Payment" ("transactionId", amount, currency, "customerId") VALUES ($1, $2, $3, $4)',
    [transactionId, amount, 'EUR', customerId],
  )

test('an event that arrives three times at once is recorded once, answered three times alike, and mailed once', async () => {
  const { deliver, mails, event, customerId } = await setUp(3)
  const elsewhere = await recordElsewhere(event, customerId)
  const deliveries = [0, 1, 2].map((machine) => deliver(event, machine))
  await untilBlocked(database.url, 3)
  await elsewhere.query('ROLLBACK')

  const answers = await Promise.all(deliveries)

  const body = { transactionId: event.transactionId, status: 'recorded' }
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([body, body, body])
  expect(await paymentsOf(event)).toEqual([{ amount: '12.50', currency: 'EUR' }])
  expect(mails).toEqual([{ to: event.email, text: 'We have received 12.50 EUR.' }])
})

test('an event that another machine records in the same moment is answered when that is certain, and sends no mail', async () => {
  const { deliver, mails, event, customerId } = await setUp()
  const elsewhere = await recordElsewhere(event, customerId)
  const delivery = deliver(event)
  await untilBlocked(database.url)
  await elsewhere.query('COMMIT')

  const { status } = await delivery

  expect({ status, mails }).toEqual({ status: 200, mails: [] })
})

test('an event that comes again later sends no second mail', async () => {
  const { deliver, mails, event } = await setUp(2)

  const statuses = [await deliver(event, 0), await deliver(event, 1), await deliver(event, 0)].map(
    ({ status }) => status,
  )

  expect(statuses).toEqual([200, 200, 200])
  expect(mails).toHaveLength(1)
})

test('the mail is sent when everybody can see the payment', async () => {
  const seen: unknown[] = []
  const { deliver, event } = await setUp(1, async () => void seen.push(...(await paymentsOf(event))))

  await deliver(event)

  expect(seen).toEqual([{ amount: '12.50', currency: 'EUR' }])
})

test('a payment that cannot be recorded is answered so that it comes again, and mails nobody', async () => {
  const { deliver, mails, event } = await setUp()
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  onTestFinished(() => log.mockRestore())
  await database.query(`ALTER TABLE "Payment" ADD CONSTRAINT no_test_money CHECK (currency <> 'XTS')`)

  const { status } = await deliver({ ...event, currency: 'XTS' })

  expect({ status, mails }).toEqual({ status: 500, mails: [] })
})

test.each([
  ['amount', { amount: '1250.00' }],
  ['currency', { currency: 'USD' }],
  ['customerId', { email: 'other@example.com' }],
])('the same transaction with another %s is refused, changes nothing and mails nobody', async (field, change) => {
  const { deliver, mails, event } = await setUp()
  await database.query(`INSERT INTO "Customer" (email) VALUES ('other@example.com') ON CONFLICT DO NOTHING`)
  await deliver(event)

  const answer = await deliver({ ...event, ...change })

  expect(answer.status).toBe(422)
  expect(await answer.json()).toEqual({ error: `This transaction was reported before, with another ${field}.` })
  expect(await paymentsOf(event)).toEqual([{ amount: '12.50', currency: 'EUR' }])
  expect(mails).toHaveLength(1)
})

test('the same amount written with another number of zeros is the same payment', async () => {
  const { deliver, event } = await setUp()
  await deliver({ ...event, amount: '012.50' })

  const { status } = await deliver(event)

  expect(status).toBe(200)
})

test.each([
  ['no JSON', () => 'amount=12.50'],
  ['no transaction id', (event: Event) => ({ ...event, transactionId: undefined })],
  ['an empty transaction id', (event: Event) => ({ ...event, transactionId: '' })],
  ['an object as transaction id', (event: Event) => ({ ...event, transactionId: { not: 'x' } })],
  ['an amount that is a number', (event: Event) => ({ ...event, amount: 12.5 })],
  ['a negative amount', (event: Event) => ({ ...event, amount: '-12.50' })],
])('an event with %s is malformed and records nothing', async (_, change) => {
  const { deliver, mails, event } = await setUp()

  const { status } = await deliver(change(event))

  expect({ status, mails, payments: await paymentsOf(event) }).toEqual({ status: 400, mails: [], payments: [] })
})

test('the example prints what its README says', async () => {
  const { actual, promised } = await runExample('payment-webhook', database.url)

  expect(actual).toEqual(promised)
})
