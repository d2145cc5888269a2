import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { type Mail, webhook } from './webhook.js'

await withDatabase(async (url) => {
  // Three machines behind one load balancer, as far as the database can tell.
  const clients = [connect(url), connect(url), connect(url)]
  const [db] = clients as [ReturnType<typeof connect>]
  try {
    const mails: Mail[] = []
    const sendMail = async (mail: Mail) => void mails.push(mail)
    const machines = clients.map((client) => webhook(client, sendMail))
    await db.customer.create({ data: { email: 'ana@example.com' } })

    const deliver = (machine: (typeof machines)[number] | undefined, event: object) =>
      machine?.request('/webhooks/payments', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(event),
      })
    const event = { transactionId: 'tx-1001', amount: '12.50', currency: 'EUR', email: 'ana@example.com' }

    const answers = await Promise.all(machines.map((machine) => deliver(machine, event)))
    console.log(
      `One payment, delivered three times at once: answers ${answers.map((answer) => answer?.status).join(', ')}.`,
    )
    console.log(`Payments recorded: ${await db.payment.count()}. Mails sent: ${mails.length}.`)

    const altered = await deliver(machines[0], { ...event, amount: '1250.00' })
    console.log(`The same transaction with another amount: ${altered?.status}, ${await altered?.text()}`)
    console.log(`Payments recorded: ${await db.payment.count()}. Mails sent: ${mails.length}.`)
  } finally {
    await Promise.all(clients.map((client) => client.$disconnect()))
  }
})
