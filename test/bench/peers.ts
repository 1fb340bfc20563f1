/**
 * `npm run bench -- peers`: Kafka Streams (exactly_once_v2), Flink (exactly-once KafkaSink), Weir and loops without an engine,
 * on the same broker, topic and work. Contenders take turns, figures are medians, outputs are verified by an outside client.
 *
 *   --scenario  throughput (default) · latency · recovery · expired-transaction · in-time, and the running sum under other
 *               conditions: keys · disk · partitions · task-managers · loops
 *   --work      sum (default) · filter · window
 *   --records   of throughput, default 1,500,000; --runs N, default 3; --only PART,… of contenders' names
 *   --timeout   seconds of one run, default 90; --seconds  behind which no run is begun, default 600
 *   --interval  of latency, ms between commits, default 100
 *   --engine    of an accident
 *   --add       a part: the runs before it, of the same code and amount, count too
 *   --dry       docs/PERFORMANCE.md stays as it is
 *
 * Last line: JSON.
 */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { stackEndpoints } from '../stack/endpoints.ts'
import { Bench } from './peers/bench.ts'
import { ACCIDENTS, accidents } from './peers/accident.ts'
import { report, writeReport } from './peers/report.ts'
import { latency } from './peers/latency.ts'
import { recovery } from './peers/recovery.ts'
import { SCALING } from './peers/scaling.ts'
import { throughput } from './peers/throughput.ts'
import { WINDOW_ORDERS, WORKS, type Work } from './peers/works.ts'

const MEASURED = ['throughput', 'latency', 'recovery', ...Object.keys(SCALING)]
const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'throughput' },
    work: { type: 'string', default: 'sum' },
    records: { type: 'string', default: '1500000' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    timeout: { type: 'string', default: '90' },
    seconds: { type: 'string', default: '600' },
    interval: { type: 'string', default: '100' },
    engine: { type: 'string' },
    add: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
  },
})
/** Accidents have servers of their own; what is measured runs on the stack, which is left as it was found. */
const stack = (command: 'status' | 'up' | 'down'): string =>
  execFileSync(process.execPath, [new URL('../../tools/stack/stack.mjs', import.meta.url).pathname, command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 2],
  })
const refuse = (text: string): never => {
  console.error(text)
  process.exit(2)
}
const { scenario } = values
const whole = (name: 'records' | 'runs' | 'timeout' | 'seconds' | 'interval'): number => {
  const value = Number(values[name])
  return Number.isInteger(value) && value > 0 ? value : refuse(`--${name} ${values[name]}: give a whole number above 0`)
}

if (ACCIDENTS.includes(scenario)) {
  console.log(JSON.stringify(await accidents(scenario, values.engine ?? null, whole('runs'))))
} else {
  if (!MEASURED.includes(scenario))
    refuse(`no scenario "${scenario}"; there are: ${[...MEASURED, ...ACCIDENTS].join(', ')}`)
  const work = values.work as Work
  if (!WORKS.includes(work)) refuse(`no work "${values.work}"; there are: ${WORKS.join(', ')}`)
  const records = whole('records')
  if (records % WINDOW_ORDERS !== 0) refuse(`--records ${records}: give a multiple of ${WINDOW_ORDERS}`)
  const wasDown = Object.values(JSON.parse(stack('status')) as object).every((server) => server === null)
  stack('up')
  const bench = new Bench({
    ...{ brokers: stackEndpoints().kafka, records, runs: whole('runs') },
    ...{ timeoutMs: whole('timeout') * 1_000, deadline: performance.now() + whole('seconds') * 1_000 },
    only: values.only.split(',').filter((part) => part !== ''),
  })
  await bench.open()
  try {
    if (scenario === 'latency') await latency(bench, whole('interval'))
    else if (scenario === 'recovery') await recovery(bench)
    else await throughput(bench, work, SCALING[scenario])
  } finally {
    await bench.close()
    if (wasDown) stack('down')
  }
  const option = { throughput: `--work ${work}`, latency: `--interval ${whole('interval')}` }[scenario] ?? ''
  const made = report({ scenario, option, add: values.add }, bench)
  if (!values.dry) await writeReport(made)
  console.log(JSON.stringify(made.json))
  process.exit(0)
}
