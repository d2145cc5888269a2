import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { run } from '../support/run.js'

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}
interface Job {
  readonly uses?: string
  readonly needs?: string
  readonly 'runs-on'?: string
  readonly 'timeout-minutes'?: number
  readonly steps?: readonly Step[]
  readonly permissions?: Readonly<Record<string, string>>
  readonly strategy?: { readonly matrix: Readonly<Record<string, readonly number[]>> }
  readonly services?: Readonly<Record<string, { readonly image: string }>>
  readonly env?: Readonly<Record<string, string>>
}
interface Workflow {
  readonly name: string
  readonly on: Readonly<Record<string, unknown>>
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, Job>>
}
interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly dev?: boolean
  readonly peer?: boolean
  readonly devOptional?: boolean
  readonly hasInstallScript?: boolean
}
interface Form {
  readonly name: string
  readonly description: string
  readonly body: readonly { readonly type: string; readonly id?: string; readonly attributes: object }[]
}

const read = async (path: string) => readFile(path, 'utf8')
const workflow = async (name: string): Promise<Workflow> => parse(await read(`.github/workflows/${name}.yml`))
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps = [] }) => steps)

test('every workflow may only read unless a job says more, and each of its jobs has a machine, an end and steps', async () => {
  for (const name of ['test', 'release']) {
    const { on, permissions, jobs } = await workflow(name)

    expect(Object.keys(on).length).toBeGreaterThan(0)
    expect(permissions).toEqual({ contents: 'read' })
    for (const job of Object.values(jobs)) {
      if (job.uses) expect(job.uses).toBe('./.github/workflows/test.yml')
      else expect(job).toMatchObject({ 'runs-on': 'ubuntu-latest', 'timeout-minutes': expect.any(Number) })
      for (const step of job.steps ?? []) expect(step.run ?? step.uses).toMatch(/\S/)
    }
  }
})

test('no job that runs code of a pull request can write, or leaves a credential behind', async () => {
  const { jobs } = await workflow('test')

  expect(Object.values(jobs).filter(({ permissions }) => permissions !== undefined)).toEqual([])
  const checkouts = [...stepsOf(await workflow('test')), ...stepsOf(await workflow('release'))].filter(({ uses }) =>
    uses?.startsWith('actions/checkout@'),
  )
  expect(checkouts.length).toBeGreaterThan(2)
  for (const step of checkouts) expect(step.with).toMatchObject({ 'persist-credentials': false })
})

test('the tests run on each Node with each PostgreSQL that the page of versions and package.json name', async () => {
  const { tests } = (await workflow('test')).jobs
  const page = await read('docs/versions.md')
  const { engines } = JSON.parse(await read('package.json'))

  expect(tests?.strategy?.matrix).toEqual({ node: [20, 22, 24], postgres: [14, 15, 16, 17, 18] })
  expect(tests?.services?.postgres?.image).toBe(`postgres:\${{ matrix.postgres }}`)
  expect(tests?.env).toHaveProperty('DATABASE_URL')
  expect(page).toMatch(/^\| Node \| 20 \(from 20\.19\), 22, 24 \|/m)
  expect(page).toMatch(/^\| PostgreSQL \| 14, 15, 16, 17, 18 \|/m)
  expect(engines).toEqual({ node: '>=20.19' })
})

test('a release is published behind all tests, with provenance, by a job that has an id token and no other secret', async () => {
  const { jobs } = await workflow('release')
  const text = await read('.github/workflows/release.yml')

  expect(jobs.publish).toMatchObject({ needs: 'tests', permissions: { contents: 'write', 'id-token': 'write' } })
  expect(jobs.publish?.steps?.map((step) => step.run)).toContain('npm publish --provenance --access public')
  expect(text).not.toContain('secrets.')
})

test('no package that comes with this one runs a script at its installation, as SECURITY.md says', async () => {
  const { packages } = JSON.parse(await read('package-lock.json')) as { packages: Readonly<Record<string, Locked>> }
  const { dependencies } = packages[''] ?? {}
  const own = Object.entries(packages).filter(
    ([path, { dev, peer, devOptional }]) => path && !dev && !peer && !devOptional,
  )

  expect(own.map(([path]) => path.replace('node_modules/', ''))).toEqual(
    expect.arrayContaining(Object.keys(dependencies ?? {})),
  )
  expect(own.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([])
})

test('the forms for issues have what GitHub asks of them, and each field an id of its own', async () => {
  const names = (await readdir('.github/ISSUE_TEMPLATE')).filter((name) => name !== 'config.yml')
  expect(names.length).toBeGreaterThan(1)
  for (const name of names) {
    const form: Form = parse(await read(join('.github/ISSUE_TEMPLATE', name)))

    expect(form).toMatchObject({ name: expect.any(String), description: expect.any(String) })
    const ids = form.body.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const field of form.body) {
      expect(field.type).toMatch(/^(?:textarea|input|dropdown|checkboxes|markdown)$/)
      expect(field.attributes).toHaveProperty('label')
    }
  }
})

test('the notes of a release are its section of the changelog, and there are none without a date, or for another tag', async () => {
  const notes = (...args: string[]) => run(process.execPath, ['scripts/release-notes.mjs', ...args], '.')
  const { version } = JSON.parse(await read('package.json'))
  const isDated = new RegExp(`^## ${version} \\(\\d`, 'm').test(await read('CHANGELOG.md'))

  await expect(notes('v0.0.0')).rejects.toThrow('The tag is v0.0.0')
  if (isDated) expect(await notes(`v${version}`)).toMatch(/^- /m)
  else await expect(notes(`v${version}`)).rejects.toThrow(`CHANGELOG.md has no date for ${version}`)
})

test('the public types of each entry are those that etc says', { timeout: 300_000 }, async () => {
  await expect(run(process.execPath, ['scripts/api-report.mjs', '--check'], '.')).resolves.toBeDefined()
})
