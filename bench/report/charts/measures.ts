/** The three figures that are drawn of every workload: how much, how long it takes, and what it costs. */
import { digits } from '../number.js'
import type { Taker } from '../reading.js'
import type { Measure } from './panel.js'

export const throughput: Measure = {
  title: 'calls per second',
  saysWrong: true,
  value: ({ cell }) => cell.summary?.throughput.median,
  span: ({ cell: { summary } }) => summary && [summary.throughput.low, summary.throughput.high],
  text: ({ cell: { summary } }) => (summary ? digits(summary.throughput.median) : 'broke down'),
}

export const latency: Measure = {
  title: 'ms per call, from p50 to p99',
  value: ({ cell }) => cell.summary?.p99Milliseconds?.median,
  span: between,
  text(taker) {
    const [p50, p99] = between(taker) ?? []
    return p50 === undefined || p99 === undefined ? '' : `${digits(p50)} – ${digits(p99)}`
  },
}

function between({ cell: { summary } }: Taker): readonly [number, number] | undefined {
  if (!summary?.p50Milliseconds || !summary.p99Milliseconds) return undefined
  return [summary.p50Milliseconds.median, summary.p99Milliseconds.median]
}

/** Of the client alone where that of the servers cannot be read, as the text says then. */
export const cost: Measure = {
  title: 'CPU ms per call, client and servers',
  value: cpu,
  span: () => undefined,
  text: (taker) => {
    const sum = cpu(taker)
    if (sum === undefined) return ''
    return taker.cell.summary?.databaseCpuMilliseconds ? digits(sum) : `${digits(sum)}, client only`
  },
}

function cpu({ cell: { summary } }: Taker): number | undefined {
  if (summary === undefined) return undefined
  const { clientCpuMilliseconds, databaseCpuMilliseconds, lockServerCpuMilliseconds } = summary
  return (
    clientCpuMilliseconds.median + (databaseCpuMilliseconds?.median ?? 0) + (lockServerCpuMilliseconds?.median ?? 0)
  )
}
