// npm run sim -- --explore [--sinks N] [--chunks N] [--faults N] [--max STATES] [--safety] [--mutants] [--json]
import { parseArgs } from 'node:util'
import { STATES_MAX, explore } from './search.ts'

const { values } = parseArgs({
  options: {
    sinks: { type: 'string', default: '1' },
    chunks: { type: 'string', default: '1' },
    arbiter: { type: 'string', default: 'etcd' },
    faults: { type: 'string', default: '2' },
    max: { type: 'string', default: String(STATES_MAX) },
    safety: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const bounds = {
  sinks: Number(values.sinks),
  chunks: Number(values.chunks),
  faults: Number(values.faults),
  arbiter: values.arbiter === 's3' ? ('s3' as const) : ('etcd' as const),
}
const from = performance.now()
const result = explore({
  ...bounds,
  statesMax: Number(values.max),
  safetyOnly: values.safety,
  progress: (depth, states, front) => {
    if (depth % 10 === 0) process.stderr.write(`depth ${depth}, ${states} states, ${front} in front\n`)
  },
})
const seconds = Math.round((performance.now() - from) / 100) / 10
const { counterexample, complete, states, depth } = result
const verdict = counterexample ? `COUNTEREXAMPLE: ${counterexample.broken}` : 'no counterexample'
const extent = complete ? 'complete' : counterexample ? 'stopped there' : `CUT at ${states} states`
console.log(
  `${bounds.sinks} sink(s), ${bounds.chunks} chunk(s), ≤ ${bounds.faults} fault(s): ${verdict} (${states} states, depth ${depth}, ${extent}, ${seconds} s)`,
)
counterexample?.trace.forEach((step, i) => console.log(`${String(i + 1).padStart(4)}. ${step}`))
if (values.json) console.log(JSON.stringify({ ...bounds, ...result, seconds }))
process.exitCode = counterexample || !complete ? 1 : 0
