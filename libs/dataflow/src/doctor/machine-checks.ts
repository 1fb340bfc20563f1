/** Machines and their clocks. */
import type { ClockFacts, MachineFacts } from './facts.ts'
import { looker, type Diagnosis } from './diagnosis.ts'

const GIB = 1024 ** 3
const DISK_WARNING_BYTES = 5 * GIB
const DISK_UNSAFE_BYTES = GIB / 2
/** Tables of LevelDB, sockets to brokers and between task-managers: a slot may need some hundreds. */
const OPEN_FILES_UNSAFE = 1_024
const OPEN_FILES_WARNING = 4_096
/** As in package.json. */
const NODE_MIN = [20, 12] as const
/** In maintenance at least until then. */
const NODE_GOOD = 22
/** Event time by the clock, transaction ids and time limits are wrong by as much; exactly-once does not rest on it. */
const SKEW_WARNING_MS = 500
const SKEW_UNSAFE_MS = 30_000

export function checkMachine({ name, node, openFilesMax, disk }: MachineFacts): readonly Diagnosis[] {
  return [ofNode(name, node), openFiles(name, openFilesMax), ...(disk === null ? [] : [free(name, disk)])]
}

function ofNode(name: string, version: string): Diagnosis {
  const { ok, warning, unsafe } = looker('MACHINE_NODE', name)
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [minMajor, minMinor] = NODE_MIN
  const remedy = 'run the newest Node with long-term support'
  if (major < minMajor || (major === minMajor && minor < minMinor)) {
    return unsafe(`Node ${version}; Weir needs ${NODE_MIN.join('.')} or later`, remedy)
  }
  return major < NODE_GOOD ? warning(`Node ${version} gets no more repairs`, remedy) : ok(`Node ${version}`)
}

function openFiles(name: string, max: number | null): Diagnosis {
  const { ok, warning, unsafe } = looker('MACHINE_OPEN_FILES', name)
  if (max === null) return ok('no limit is told')
  const why = `a process may have ${max} files open`
  const remedy = `raise the limit to ${OPEN_FILES_WARNING} or more (ulimit -n, LimitNOFILE=)`
  if (max < OPEN_FILES_UNSAFE)
    return unsafe(`${why}: LevelDB and sockets need more, and fail when there are none left`, remedy)
  return max < OPEN_FILES_WARNING ? warning(why, remedy) : ok(why)
}

function free(name: string, { folder, freeBytes }: NonNullable<MachineFacts['disk']>): Diagnosis {
  const { ok, warning, unsafe } = looker('MACHINE_DISK', name)
  const why = `${(freeBytes / GIB).toFixed(1)} GiB are free at ${folder}`
  const remedy = 'make room, or give WEIR_DATA_DIR a larger disk; WEIR_LOCAL_COPY_BYTES bounds the copies of state'
  if (freeBytes < DISK_UNSAFE_BYTES) return unsafe(`${why}: state that does not fit ends its task`, remedy)
  return freeBytes < DISK_WARNING_BYTES ? warning(why, remedy) : ok(why)
}

export function checkClock({ name, offsetMs, uncertaintyMs }: ClockFacts): Diagnosis {
  const { ok, warning, unsafe } = looker('CLOCK_SKEW', name)
  const off = Math.max(0, Math.abs(offsetMs) - uncertaintyMs)
  const side = offsetMs < 0 ? 'behind' : 'ahead of'
  const why = `its clock is ${Math.round(Math.abs(offsetMs))} ms ${side} this one, ±${Math.ceil(uncertaintyMs)} ms`
  const remedy = 'run chrony or ntpd on both machines'
  if (off >= SKEW_UNSAFE_MS)
    return unsafe(`${why}: event times, time limits and transaction ids are off by as much`, remedy)
  return off >= SKEW_WARNING_MS ? warning(why, remedy) : ok(why)
}
