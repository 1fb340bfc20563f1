/**
 * `npm run bench -- buffers`: buffers in one thread (a ring beside an array that is shifted), and between two (a ring in shared memory beside
 * the MessagePort of the exchange), over capacities, slots that write and frames on the way. No servers.
 *
 *   --part   thread · bytes (frames of 64 bytes) · records (frames of 1,000), else all of them
 *   --quick  fewer of each
 *   --write  into docs/PERFORMANCE.md
 */
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { ThreadHub, type LinkRequest } from '../../libs/wire/src/thread-exchange.ts'
import { ArrayRing } from './buffers/array-ring.ts'
import type { LinkWorkerData } from './buffers/link-worker.ts'
import { SharedRing } from './buffers/shared-ring.ts'
import { figure, median, say, type Figure } from './lib/figures.ts'
import { codeCommit, machine, table, today, writeSection } from './lib/performance-md.ts'

const { values: options } = parseArgs({
  allowPositionals: true,
  options: {
    part: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const { quick } = options
const ROUNDS = 3
const CAPACITIES = quick ? [8, 256] : [8, 64, 256, 1_024, 4_096]
const SLOTS = quick ? [1, 4] : [1, 4, 8, 16]
const WINDOWS = quick ? [1, 8, 32] : [1, 2, 4, 8, 16, 32]
const RECORDS = 1_000
const SMALL_BYTES = 64
/** A frame of the records of the bench, and room to spare. */
const FRAME_BYTES = 256 * 1_024
const shown = (value: number): string => value.toFixed(value < 100 ? 2 : 0)

interface Row {
  readonly name: string
  /** By title of the column. */
  readonly values: Readonly<Record<string, number>>
}
const row = (name: string, values: Row['values']): Row => {
  const told = Object.entries(values).map(([title, value]) => `${title} ${shown(value)}`)
  say(`${name}: ${told.join(', ')}`)
  return { name, values }
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

const threadRows = (): readonly Row[] =>
  CAPACITIES.map((capacity) => {
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
    return row(`capacity ${capacity}`, {
      'ring, M values/s': median(rounds.map(({ ring }) => ring)),
      'shifted array, M values/s': median(rounds.map(({ shifted }) => shifted)),
    })
  })

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

/** Both in turn, so that the machine is the same for both. @param perFrame so many of `unit` */
async function compare(name: string, of: Load, unit: string, perFrame: number): Promise<Row> {
  const found: Record<'ring' | 'port', Measured[]> = { ring: [], port: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ['ring', 'port'] as const) found[way].push(await between(way, of))
  }
  const columns = Object.entries(found).flatMap(([way, measured]): [string, number][] => [
    [`${way}, k ${unit}/s`, (median(measured.map(({ framesPerSecond }) => framesPerSecond)) * perFrame) / 1_000],
    [`${way}, CPU µs per frame`, median(measured.map(({ cpuMicrosPerFrame }) => cpuMicrosPerFrame))],
  ])
  return row(name, Object.fromEntries(columns))
}

async function bytesRows(): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const capacity of CAPACITIES) {
    for (const slots of SLOTS) {
      const frames = Math.ceil((quick ? 20_000 : 40_000) / slots)
      const of: Load = { slots, window: capacity, frames, load: 'bytes' }
      rows.push(await compare(`capacity ${capacity}, ${slots} slots`, of, 'frames', 1))
    }
  }
  return rows
}

async function recordsRows(): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const window of WINDOWS) {
    for (const slots of quick ? [1] : [1, 4]) {
      const of: Load = { slots, window, frames: Math.ceil(1_000 / slots), load: { records: RECORDS } }
      rows.push(await compare(`${window} on the way, ${slots} slots`, of, 'records', RECORDS))
    }
  }
  return rows
}

interface Part {
  readonly title: string
  readonly measure: () => readonly Row[] | Promise<readonly Row[]>
}
const PARTS: Readonly<Record<string, Part>> = {
  thread: { title: 'Buffers in one thread', measure: threadRows },
  bytes: { title: `Buffers between threads: frames of ${SMALL_BYTES} bytes`, measure: bytesRows },
  records: {
    title: `Buffers between threads: frames of ${RECORDS.toLocaleString('en')} records`,
    measure: recordsRows,
  },
}
const parts = Object.entries(PARTS).filter(([name]) => options.part === '' || options.part === name)
if (parts.length === 0) throw new Error(`no part "${options.part}"; there are: ${Object.keys(PARTS).join(', ')}`)
const figures: Figure[] = []
for (const [name, { title, measure }] of parts) {
  const rows = await measure()
  for (const { name: of, values } of rows)
    for (const [column, value] of Object.entries(values)) figures.push(figure(`${name}, ${of}: ${column}`, value))
  if (!options.write) continue
  const command = `npm run bench -- buffers --part ${name} --write`
  const titles = Object.keys(rows[0]!.values)
  const lines = table(
    ['', ...titles],
    rows.map(({ name: of, values }) => [of, ...titles.map((column) => shown(values[column]!))]),
  )
  const head = `${today()}; ${machine()}; Weir ${codeCommit()}, Node ${process.versions.node}. Medians of ${ROUNDS} alternating runs: \`${command}\``
  await writeSection(`buffers ${name}`, [`## ${title}`, '', head, '', ...lines, ''].join('\n'))
}
console.log(JSON.stringify({ bench: 'buffers', rounds: ROUNDS, figures }))
