/** The ledger without any server: the task-manager of an embedded fleet is killed, its job cancelled with nobody left. */
import { LogClient } from '@weir/connectors'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startProcess, stopProcess, type FleetProcess } from '../../apps/cli/src/fleet.ts'
import { JobsClient } from '@weir/wire'
import { bundleJob } from '../../apps/cli/src/bundle.ts'
import { submit } from '../../apps/cli/src/submit.ts'
import { StuckReader, broken } from '../checkers/index.ts'

const job = new URL('../../apps/examples/src/02-payments.ts', import.meta.url).pathname
const TOPICS = ['payment-sums', 'payment-counts']
const JOB_ID = 'payments'
const WAIT_MS = 30_000
const running: FleetProcess[] = []
const dir = await mkdtemp(join(tmpdir(), 'weir-embedded-'))
afterAll(async () => {
  for (const process of running.reverse()) await stopProcess(process)
  await rm(dir, { recursive: true, force: true })
})

test('killed, cancelled, and settled by the next task-manager: nothing is open, no reader is stuck', async () => {
  const manager = await startProcess('job-manager', { WEIR_MODE: 'embedded', WEIR_DATA_DIR: join(dir, 'jm') })
  running.push(manager)
  const worker = async (name: string): Promise<FleetProcess> => {
    const started = await startProcess('task-manager', {
      WEIR_JOB_MANAGERS: manager.ready.grpc!,
      WEIR_LOG: manager.ready.log!,
      WEIR_OBJECTS_DIR: join(dir, 'jm', 'objects'),
      WEIR_DATA_DIR: join(dir, name),
      WEIR_SLOTS: '2',
    })
    running.push(started)
    return started
  }
  const first = await worker('tm-0')
  const log = new LogClient(manager.ready.log!)
  for (const topic of TOPICS) await log.createTopic(topic, 2)
  const client = new JobsClient([manager.ready.grpc!], { token: null })
  const parameters = { splits: '2', parallelism: '2', rate: '2000', intervalMs: '500' }
  await submit(client, await bundleJob(job, parameters), { id: JOB_ID, wait: true })
  const until = async (
    what: string,
    test: (view: Awaited<ReturnType<typeof client.get>>) => boolean,
  ): Promise<void> => {
    for (const deadline = performance.now() + WAIT_MS; !test(await client.get(JOB_ID)); await systemClock.sleep(20))
      expect(performance.now(), what).toBeLessThan(deadline)
  }
  await until('the second epoch', (view) => view.finalEpoch >= 2)
  first.child.kill('SIGKILL')
  expect((await log.transactions(`weir.${JOB_ID}.`)).length).toBeGreaterThan(0)
  await client.cancel(JOB_ID)
  await until('CANCELLED', (view) => view.state === 'CANCELLED')
  await worker('tm-1')
  const ended = async (): Promise<boolean> => (await log.transactions(`weir.${JOB_ID}.`)).length === 0
  for (const deadline = performance.now() + WAIT_MS; !(await ended()); await systemClock.sleep(20))
    expect(performance.now()).toBeLessThan(deadline)
  const readers = new StuckReader()
  for (const topic of TOPICS) {
    const { stableOffsets, endOffsets } = await log.describe(topic)
    endOffsets.forEach((end, p) => readers.saw(`${topic}/${p}`, BigInt(stableOffsets[p]!), BigInt(end)))
  }
  expect(broken(readers)).toEqual([])
  // The last one has ended before the verdict about it is there.
  const unproven = async (): Promise<string[]> =>
    (await client.listTransactions(JOB_ID)).map((t) => t.state).filter((s) => s !== 'committed')
  await expect.poll(unproven).toEqual([])
  client.close()
  log.close()
})
