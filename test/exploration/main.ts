// npm run sim -- --explore […]: see README.md. The last line with --json is one JSON object.
import { parseArgs } from 'node:util'
import { STATES_MAX, explore } from './search.ts'
import { bite, teeth } from './teeth.ts'

const { values } = parseArgs({
  options: {
    sinks: { type: 'string', default: '1' },
    chunks: { type: 'string', default: '1' },
    faults: { type: 'string', default: '2' },
    arbiter: { type: 'string', default: 'etcd' },
    max: { type: 'string', default: String(STATES_MAX) },
    safety: { type: 'boolean', default: false },
    region: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const seconds = (since: number): number => Math.round((performance.now() - since) / 100) / 10
const print = (trace: readonly string[]): void =>
  trace.forEach((step, i) => console.log(`${String(i + 1).padStart(4)}. ${step}`))

if (values.mutants) await removeEveryRule()
else searchOnce()

function searchOnce(): void {
  const arbiter = (['etcd', 's3', 'etcd-alone'] as const).find((kind) => kind === values.arbiter)
  if (arbiter === undefined) throw new Error(`--arbiter is etcd, s3 or etcd-alone, not ${values.arbiter}`)
  const bounds = {
    ...{ sinks: Number(values.sinks), chunks: Number(values.chunks), faults: Number(values.faults), arbiter },
    failover: values.region ? ('region' as const) : ('full' as const),
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
  const { counterexample, complete, states, depth } = result
  const verdict = counterexample ? `COUNTEREXAMPLE: ${counterexample.broken}` : 'no counterexample'
  const extent = complete ? 'complete' : counterexample ? 'stopped there' : 'CUT'
  const { sinks, chunks, faults } = bounds
  console.log(
    `${sinks} sink(s), ${chunks} chunk(s), ≤ ${faults} fault(s), arbiter ${arbiter}: ${verdict} (${states} states, depth ${depth}, ${extent}, ${seconds(from)} s)`,
  )
  print(counterexample?.trace ?? [])
  if (values.json) console.log(JSON.stringify({ ...bounds, ...result, seconds: seconds(from) }))
  process.exitCode = counterexample || !complete ? 1 : 0
}

async function removeEveryRule(): Promise<void> {
  let missed = 0
  for (const tooth of teeth) {
    const from = performance.now()
    const { counterexample, states } = await bite(tooth)
    if (counterexample === null) missed++
    const verdict = counterexample ? `${counterexample.trace.length} steps to: ${counterexample.broken}` : 'NOT FOUND'
    const where = tooth.real ? '' : ' (in the model)'
    console.log(`${tooth.hole} ${tooth.rule}${where}: ${verdict} (${states} states, ${seconds(from)} s)`)
    if (!values.json) print(counterexample?.trace ?? [])
  }
  console.log(JSON.stringify({ mutants: teeth.length, missed }))
  process.exitCode = missed === 0 ? 0 : 1
}
