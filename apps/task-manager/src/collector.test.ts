import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const MIB = 1 << 20

/** Makes objects until the room for them has grown as far as it may, and tells how far that was. */
const GROW = `
  import { getHeapSpaceStatistics } from 'node:v8'
  import { parentPort } from 'node:worker_threads'
  const kept = []
  for (let i = 0; i < 3_000_000; i++) kept[i % 200_000] = { i }
  parentPort.postMessage(getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size)
`
const START = `
  import { Worker } from 'node:worker_threads'
  import { prepareThreads } from ${JSON.stringify(new URL('./collector.ts', import.meta.url).href)}
  prepareThreads()
  const worker = new Worker(${JSON.stringify(GROW)}, { eval: true, resourceLimits: { maxYoungGenerationSizeMb: 6 } })
  worker.on('message', (bytes) => console.log(bytes))
`

test('a thread has the room for young objects it was given, whatever the process was started with', async () => {
  const args = ['--max-semi-space-size=16', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', START]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(Number(stdout)).toBeGreaterThan(0)
  expect(Number(stdout)).toBeLessThanOrEqual(4 * MIB)
})
