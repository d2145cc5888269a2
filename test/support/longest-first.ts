import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, the longest first: begun last, one of them would be waited for alone. */
const LONGEST = [
  'faults/campaign/sabotage',
  'project/declarations',
  'faults/campaign/campaign',
  'examples/demo',
  'project/corpus',
  'faults/foreign-deadlines',
  'faults/outages',
  'faults/synchronous-standby',
  'project/package',
  'project/docs',
  'examples/lost-updates',
  'examples/erp-northwind',
]

const rankOf = ({ moduleId }: TestSpecification) => {
  const rank = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
  return rank === -1 ? LONGEST.length : rank
}

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => rankOf(a) - rankOf(b))
  }
}
