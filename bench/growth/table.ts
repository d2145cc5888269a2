/** The growth curves in words and figures. */
import type { GrowthCurve, GrowthPoint } from '../result.js'

/** The time of a call must not grow faster than what it is asked to handle; noise aside. */
const STEEPEST = 1.25
/** With more callers or processes all of them together must not get less than this part of the best. */
const LEAST = 0.5

/** A remark on a curve for the reader; undefined if it is as it should be. */
export function remarkOf({ axis, points }: GrowthCurve): string | undefined {
  const failed = points.find(({ error }) => error !== undefined)
  if (failed) return `at ${failed.at.toLocaleString('en')}: ${failed.error}`
  const speeds = points.map(({ perSecond }) => perSecond)
  if (axis === 'callers' || axis === 'processes') {
    const last = (speeds.at(-1) ?? 0) / Math.max(...speeds)
    return last < LEAST ? `falls to ${last.toFixed(2)} of its best` : undefined
  }
  const steep = points.slice(1).find((point, index) => steepness(points[index] as GrowthPoint, point) > STEEPEST)
  return steep && `superlinear at ${steep.at.toLocaleString('en')}`
}

/** 1: twice as much takes twice as long. */
function steepness(from: GrowthPoint, to: GrowthPoint): number {
  return Math.log(from.perSecond / to.perSecond) / Math.log(to.at / from.at)
}

export function growthTable(curves: readonly GrowthCurve[]): string {
  return curves
    .map((curve) => {
      const lines = curve.points.map(({ at, perSecond, cpuMicroseconds, heapBytesPerCall, error }) => {
        const heap =
          heapBytesPerCall === null ? '' : `, ${(heapBytesPerCall / 1_000).toFixed(1)} kB of heap per waiting call`
        const figures = `${rounded(perSecond)} per s, ${rounded(cpuMicroseconds)} µs of CPU per call${heap}`
        return `  ${at.toLocaleString('en').padStart(9)}: ${error ?? figures}`
      })
      const remark = remarkOf(curve)
      return [`${curve.title}, by ${curve.axis}${remark === undefined ? '' : ` (${remark})`}`, ...lines].join('\n')
    })
    .join('\n\n')
}

const rounded = (value: number) => Number(value.toPrecision(3)).toLocaleString('en')
