/**
 * `npm run bench -- buffers`: buffers in one thread (a ring beside an array that is shifted), and between two (a ring in shared memory beside
 * the MessagePort of the exchange), over capacities, slots that write and frames on the way. No servers. `--quick`: fewer of each.
 */
import { Worker } from 'node:worker_threads'
import { ThreadHub, type LinkRequest } from '../../libs/wire/src/thread-exchange.ts'
import { ArrayRing } from './buffers/array-ring.ts'
import type { LinkWorkerData } from './buffers/link-worker.ts'
import { SharedRing } from './buffers/shared-ring.ts'
import { figure, median, say, type Figure } from './lib/figures.ts'

const quick = process.argv.includes('--quick')
const ROUNDS = 3
const CAPACITIES = quick ? [8, 256] : [8, 64, 256, 1_024, 4_096]
const SLOTS = quick ? [1, 4] : [1, 4, 8, 16]
const WINDOWS = quick ? [1, 8, 32] : [1, 2, 4, 8, 16, 32]
const RECORDS = 1_000
const SMALL_BYTES = 64
/** A frame of the records of the bench, and room to spare. */
const FRAME_BYTES = 256 * 1_024
const figures: Figure[] = []
const tell = (name: string, value: number): void => {
  figures.push(figure(name, value))
  say(`${name.padEnd(60)} ${value.toFixed(value < 100 ? 2 : 0)}`)
}

// ---- in one thread --------------------------------------------------------------------------------------------------

/** Millions of values per second through a buffer that is filled and emptied. */
function inThread(capacity: number, offer: (value: number) => void, poll: () => number | undefined): number {
  const VALUES = 2_000_000
  const pass = (values: number): void => {
    for (let sent = 0; sent < values; sent += capacity) {
      for (let i = 0; i < capacity; i++) offer(i)
      for (let i = 0; i < capacity; i++) if (poll() !== i) throw new Error('out of order')
    }
  }
  pass(VALUES / 4)
  const began = performance.now()
  pass(VALUES)
  return VALUES / (performance.now() - began) / 1_000
}

for (const capacity of CAPACITIES) {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const ring = new ArrayRing<number>(capacity)
    const list: number[] = []
    return {
      ring: inThread(
        capacity,
        (value) => void ring.offer(value),
        () => ring.poll(),
      ),
      shifted: inThread(
        capacity,
        (value) => void list.push(value),
        () => list.shift(),
      ),
    }
  })
  tell(`in thread, capacity ${capacity}: ring, M values/s`, median(rounds.map(({ ring }) => ring)))
  tell(`in thread, capacity ${capacity}: shifted array, M values/s`, median(rounds.map(({ shifted }) => shifted)))
}

// ---- between threads ------------------------------------------------------------------------------------------------

interface Load extends Pick<LinkWorkerData, 'window' | 'frames' | 'load'> {
  readonly slots: number
}
interface Measured {
  readonly framesPerSecond: number
  readonly cpuMicrosPerFrame: number
}

async function between(way: 'ring' | 'port', { slots, window, frames, load }: Load): Promise<Measured> {
  const bytes = load === 'bytes' ? SMALL_BYTES : FRAME_BYTES
  const rings = way === 'ring' ? Array.from({ length: slots }, () => SharedRing.memory(window, bytes)) : null
  const hub = new ThreadHub()
  const dataOf = (role: LinkWorkerData['role'], slot: number): LinkWorkerData => {
    return { role, slot, rings, window, frames, load }
  }
  const workers = [dataOf('reader', slots), ...Array.from({ length: slots }, (_, i) => dataOf('writer', i))].map(
    (workerData) => new Worker(new URL('./buffers/link-worker.ts', import.meta.url), { workerData }),
  )
  let ready = 0
  let began = 0
  let cpu = process.cpuUsage()
  const ended = new Promise<Measured>((resolve, reject) => {
    for (const worker of workers) {
      worker.once('error', reject)
      worker.on('message', (message: 'ready' | { checked: number } | LinkRequest) => {
        if (message === 'ready') {
          if (++ready < workers.length) return
          began = performance.now()
          cpu = process.cpuUsage()
          for (const one of workers) one.postMessage('start')
        } else if ('checked' in message) {
          const seconds = (performance.now() - began) / 1_000
          const { user, system } = process.cpuUsage(cpu)
          const all = frames * slots
          if (load !== 'bytes' && message.checked !== all * load.records) reject(new Error('records are missing'))
          resolve({ framesPerSecond: all / seconds, cpuMicrosPerFrame: (user + system) / all })
        } else hub.request(worker, message)
      })
    }
  })
  try {
    return await ended
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

/** Both in turn, so that the machine is the same for both. */
async function compare(
  name: string,
  of: Load,
  unit: { readonly name: string; readonly perFrame: number },
): Promise<void> {
  const found: Record<'ring' | 'port', Measured[]> = { ring: [], port: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ['ring', 'port'] as const) found[way].push(await between(way, of))
  }
  for (const [way, measured] of Object.entries(found)) {
    const perSecond = median(measured.map(({ framesPerSecond }) => framesPerSecond))
    tell(`${name}: ${way}, ${unit.name}/s`, (perSecond * unit.perFrame) / 1_000)
    tell(`${name}: ${way}, CPU µs per frame`, median(measured.map(({ cpuMicrosPerFrame }) => cpuMicrosPerFrame)))
  }
}

for (const capacity of CAPACITIES) {
  for (const slots of SLOTS) {
    const frames = Math.ceil((quick ? 20_000 : 40_000) / slots)
    const of: Load = { slots, window: capacity, frames, load: 'bytes' }
    await compare(`64 bytes, capacity ${capacity}, slots ${slots}`, of, { name: 'k frames', perFrame: 1 })
  }
}
for (const window of WINDOWS) {
  for (const slots of quick ? [1] : [1, 4]) {
    const of: Load = { slots, window, frames: Math.ceil(1_000 / slots), load: { records: RECORDS } }
    await compare(`frames of ${RECORDS} records, window ${window}, slots ${slots}`, of, {
      name: 'k records',
      perFrame: RECORDS,
    })
  }
}
console.log(JSON.stringify({ bench: 'buffers', rounds: ROUNDS, figures }))
