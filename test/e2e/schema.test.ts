/**
 * A job is stopped, and its next version reads the state through a migration: every sum goes on, each output is there once.
 * Builds that cannot read what is stored are told so before they start. `weir state` and REST show what is stored.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 20_000
/** Of the first version, which is to be stopped on its way. */
const RATE = 400
const job = new URL('./schema.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

interface StateOverview {
  readonly epoch: number
  readonly states: readonly object[]
  readonly chains: readonly { readonly bytes: number }[]
}
interface StateListing {
  readonly epoch: number
  readonly entries: readonly { readonly key: string; readonly value: unknown }[]
  readonly next: string | null
}

test('state of version 1 is read by version 2; a build without the step is refused before it starts', async () => {
  const jobId = `schema-${fleet.run}`
  const topics = await fleet.topics(['orders', 'sums'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const build = (values: Record<string, unknown>): string[] => [
    job,
    ...Object.entries({ ...topics, rate: 50_000, ...values }).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`]),
  ]
  const [one, two, stepless] = [
    build({ version: 1, rate: RATE }),
    build({ version: 2 }),
    build({ version: 2, steps: false }),
  ]
  const rest = async <T>(path: string): Promise<T> =>
    (await (await fetch(`http://${(await fleet.leader()).ready.http}/api/v1/jobs/${jobId}/${path}`)).json()) as T
  const { sums } = expectation(ORDERS)

  expect((await fleet.cli('submit', ...one, '--id', jobId)).stderr).toBe('')
  await fleet.until(jobId, 'a second epoch', (j) => j.finalEpoch >= 2)
  const statesOf = async (): Promise<StateOverview> =>
    JSON.parse((await fleet.cli('state', 'ls', jobId, '--json')).stdout) as StateOverview
  // Every user has come, and most orders have not.
  await expect.poll(async () => (await statesOf()).states).toMatchObject([{ keys: sums.size }])
  // Asked of the running job: what would happen at a deploy.
  expect((await fleet.cli('state', 'check', jobId, ...two)).stdout).toContain('migrated from version 1 to 2')
  expect((await fleet.cli('stop', jobId, 'cut')).stderr).toBe('')
  const { recordsIn } = await fleet.job(jobId)
  expect(recordsIn).toBeLessThan(ORDERS)

  const before = await statesOf()
  expect(before.states).toMatchObject([
    { operatorUid: 'balance', name: 'accumulator', schema: null, bySplit: false, keys: sums.size },
  ])
  expect(before.chains.map(({ bytes }) => bytes > 0)).toEqual([true, true])

  const no = await fleet.cli('state', 'check', jobId, ...stepless)
  expect([no.status, no.stdout]).toEqual([1, expect.stringContaining('STATE_MIGRATION_MISSING')])
  const refused = await fleet.cli('submit', ...stepless, '--id', jobId, '--from', 'cut')
  expect([refused.status, refused.stderr]).toEqual([2, expect.stringMatching(/put the steps from 1 to 2 back in/)])
  expect((await fleet.job(jobId)).state).toBe('STOPPED')

  const yes = await fleet.cli('state', 'check', jobId, ...two, '--at', 'cut')
  expect([yes.status, yes.stdout]).toEqual([0, expect.stringContaining('can go on from savepoint "cut"')])
  const deployed = await fleet.cli('submit', ...two, '--id', jobId, '--from', 'cut')
  expect(deployed.stderr).toBe('note: state "accumulator" of "balance" is migrated from version 1 to 2\n')
  const read = await fleet.until(jobId, 'everything is read', (j) => j.recordsIn === ORDERS)
  // The one after the next was triggered after that.
  const { finalEpoch } = await fleet.until(jobId, 'it is final', (j) => j.finalEpoch >= read.publishedEpoch + 2)

  // While it runs: of the last final epoch, page by page, and key by key.
  const all = new Map<string, unknown>()
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: StateListing = await rest(`state/balance/accumulator?limit=400${cursor && `&cursor=${cursor}`}`)
    expect(page.epoch).toBeGreaterThanOrEqual(finalEpoch)
    for (const { key, value } of page.entries) all.set(key, value)
    cursor = page.next
  }
  expect(all).toEqual(new Map([...sums].map(([user, { sum, count }]) => [user, { sums: { EUR: sum }, count }])))
  const user = await fleet.cli('state', 'get', jobId, 'balance', 'accumulator', 'user-7')
  expect(user.stdout).toBe(`"user-7"\t${JSON.stringify(all.get('user-7'))}\n`)
  expect(await rest('state/balance/accumulator/nobody')).toMatchObject({ entries: [] })
  expect(await rest('state/sum/accumulator/user-7')).toMatchObject({ status: 404, code: 'STATE_UNKNOWN' })
  expect((await fleet.cli('stop', jobId, 'end')).stderr).toBe('')
  const after = await statesOf()
  expect(after.states).toMatchObject([{ schema: { name: 'total', version: 2 }, keys: sums.size }])
  const diff = await fleet.cli('state', 'diff', jobId, 'cut', 'end', '--limit', '1')
  expect(diff.stdout).toMatch(/balance accumulator: 0 added, 997 changed, 0 removed\nchanged\t.*"sum".* → .*"EUR"/)

  // The build before cannot read what this one has stored.
  const back = await fleet.cli('submit', ...one, '--id', jobId, '--from', 'end')
  expect([back.status, back.stderr]).toEqual([2, expect.stringContaining('it was written by a later build')])

  const outputs = fleet.read(topics['sums']!) as [string, { sum: number; count: number }][]
  const names = (of: Iterable<readonly [string, { count: number }]>): string[] =>
    [...of].map(([key, { count }]) => `${key} #${count}`).sort()
  const expected = [...sums].flatMap(([key, { count }]) =>
    Array.from({ length: count }, (_, i) => [key, { count: i + 1 }] as const),
  )
  expect(names(outputs)).toEqual(names(expected))
  for (const [key, { sum, count }] of outputs) if (count === sums.get(key)!.count) expect(sum).toBe(sums.get(key)!.sum)
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
