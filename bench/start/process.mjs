// A fresh process: imports the modules that it is told, and extends clients, and says what each took, in ms of time
// and of CPU.
const [, , mode, ...modules] = process.argv

const timed = async (work) => {
  const [begin, cpu] = [performance.now(), process.cpuUsage()]
  const result = await work()
  const time = performance.now() - begin
  const { user, system } = process.cpuUsage(cpu)
  return [{ time, cpu: (user + system) / 1_000 }, result]
}

const imported = []
const [importing] = await timed(async () => {
  for (const path of modules) imported.push(await import(path))
})
const times = { importing }
if (mode === 'extend') {
  const [{ PrismaClient }, { PrismaPg }, { concurrency }, { serials, series, stock }] = imported
  const adapter = new PrismaPg({ connectionString: 'postgresql://nobody@localhost:1/nothing' })
  const made = async (extend) => {
    const client = new PrismaClient({ adapter })
    return (await timed(() => extend(client)))[0]
  }
  times.client = (await timed(() => new PrismaClient({ adapter })))[0]
  times.first = await made((client) => client.$extends(concurrency()))
  const again = []
  for (let i = 0; i < 5; i++) again.push(await made((client) => client.$extends(concurrency())))
  times.again = again.sort((a, b) => a.cpu - b.cpu)[2]
  times.empty = await made((client) => client.$extends({}))
  times.erp = await made((client) =>
    client
      .$extends(concurrency())
      .$extends(
        stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
      )
      .$extends(serials())
      .$extends(series()),
  )
}
console.log(JSON.stringify(times))
