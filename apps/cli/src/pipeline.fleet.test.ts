/** The pipeline of the tour and its twin in TypeScript, bundled and submitted to one embedded fleet, to the end of their input. */
import { LogClient } from '@weir/connectors'
import { JobsClient } from '@weir/wire'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleJob } from './bundle.ts'
import { EmbeddedFleet } from './embedded-fleet.ts'
import { readCommitted } from './read-log.ts'
import { submit } from './submit.ts'

let fleet: EmbeddedFleet
beforeAll(async () => {
  fleet = await EmbeddedFleet.start({ taskManagers: 1, slots: 4 })
})
afterAll(() => fleet.stop())

test('both write the same sums and counts', async () => {
  const { grpc, log: address, http } = fleet.manager.ready
  const [client, log] = [new JobsClient([grpc!], { token: null }), new LogClient(address!)]
  const run = async (language: 'yaml' | 'ts'): Promise<unknown[]> => {
    const topics = { sums: `${language}-sums`, counts: `${language}-counts` }
    for (const topic of Object.values(topics)) await log.createTopic(topic, 2)
    const file = fileURLToPath(new URL(`../../examples/src/02-payments.${language}`, import.meta.url))
    const bundle = await bundleJob(file, { ...topics, recordsPerSplit: '2000', users: '20', parallelism: '2' })
    await submit(client, bundle, { id: language, wait: true })
    await expect
      .poll(
        async () => ((await (await fetch(`http://${http}/api/v1/jobs/${language}`)).json()) as { state: string }).state,
        {
          timeout: 60_000,
        },
      )
      .toBe('FINISHED')
    const read = async (topic: string): Promise<string[]> =>
      (await readCommitted(log, topic)).map(
        ({ key, value }) => `${Buffer.from(key!).toString()} ${Buffer.from(value!).toString()}`,
      )
    // Sources of several partitions come together in any order: the highest of each key is the last.
    const last = new Map<string, { sum: number; count: number }>()
    for (const record of await read(topics.sums)) {
      const [key = '', value = ''] = record.split(' ')
      const total = JSON.parse(value) as { sum: number; count: number }
      if (total.count > (last.get(key)?.count ?? 0)) last.set(key, total)
    }
    return [[...last].sort(), (await read(topics.counts)).sort()]
  }
  const [yaml, typescript] = [await run('yaml'), await run('ts')]
  client.close()
  log.close()
  expect(yaml).toEqual(typescript)
  expect(yaml[0]).toHaveLength(20)
}, 150_000)
