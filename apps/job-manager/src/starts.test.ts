import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { copyObject, manifestKey, sha256 } from '@weir/metadata'
import { attempt, epoch, generation, jobId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { at, ended, job, segment, type EndedJob } from './fixture.ts'
import { Starts, type JobStart, type StartWish } from './starts.ts'

const plan: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, stages: 2, sources: [], sinks: ['out'] },
  nodes: [
    { uid: 'by', kind: 'keyBy', config: {}, stage: 1 },
    { uid: 'sum', kind: 'reduce', config: {}, stage: 1, states: [{ name: 'acc', schema: null }] },
    { uid: 'out', kind: 'sink', config: { descriptor: { connector: 'kafka', topic: 'out' } }, stage: 1 },
  ],
  edges: [
    [0, 1],
    [1, 2],
  ],
}
const failed = async (): Promise<EndedJob> => {
  const j = await ended({ state: 'FAILED' }, plan)
  return { ...j, record: { ...j.record, ended: { ...j.record.ended!, kept: j.refs.toReversed() } } }
}
const startsOf = ({ record, stores, refs }: EndedJob): Starts =>
  new Starts({
    ...{ stores, clock: systemClock, signal: new AbortController().signal, running: () => null },
    ended: (id) => (id === record.jobId ? record : null),
    finalEpoch: async () => refs.at(-1)!,
  })
const wish = (from: string, repeatedOutput = false): StartWish => ({ from, droppedState: [], repeatedOutput })
const again = ({ record }: EndedJob, id = record.jobId) => ({ ...record, jobId: id, submittedAt: 9, ended: null })
const checkpoint = { generation: generation(1), attempt: attempt(2), epoch: epoch(4) }

test('the newest epoch is gone on from under the same id: no object is copied, sequences go on', async () => {
  const j = await failed()
  const record = await startsOf(j).judged(again(j), wish('3'))
  expect(record.from).toMatchObject({ after: 3, notes: [], dropped: [] })
  const published = { ref: j.refs[2]!, manifest: null }
  const first = await startsOf(j).beginningOf(record)!.make(checkpoint, published)
  expect(first).toMatchObject({
    ...checkpoint,
    subtasks: [
      { segments: [{ stage: 1, chain: [{ key: segment(3) }] }], sinks: { out: { sequence: 3, handles: [] } } },
    ],
  })
  await j.close()
})

test('a check tells what a start would, output aside, and starts nothing', async () => {
  const j = await failed()
  const { record } = j
  const build = (version: number, since = 1): PlanSummary => ({
    ...plan,
    nodes: plan.nodes.map((node) =>
      node.states === undefined
        ? node
        : { ...node, states: [{ name: 'acc', schema: { name: 'sum', version, since } }] },
    ),
  })
  const checked = (from: string, to: PlanSummary) => startsOf(j).checked(from, { ...record, plan: to }, [])
  expect(await checked('j', build(2))).toEqual({
    ...{ label: 'epoch 3 of job j', problems: [] },
    notes: ['state "acc" of "sum" is migrated from version 1 to 2'],
  })
  expect(await checked('j@3', build(2, 2))).toMatchObject({
    problems: [{ code: 'STATE_MIGRATION_MISSING', uid: 'sum' }],
  })
  await expect(checked('j/none', plan)).rejects.toMatchObject({ code: 'SAVEPOINT_UNKNOWN' })
  await expect(checked('other', plan)).rejects.toMatchObject({ code: 'JOB_UNKNOWN' })
  await j.close()
})

test('a damaged newest manifest: the epoch before is refused with what it would repeat, and taken when that is accepted', async () => {
  const j = await failed()
  await j.stores.objects.put(manifestKey(job, at(3)), Buffer.from('damaged'))
  const starts = startsOf(j)
  await expect(starts.judged(again(j), wish('3'))).rejects.toMatchObject({ code: 'MANIFEST_CORRUPT' })
  await expect(starts.judged(again(j), wish('2'))).rejects.toMatchObject({
    code: 'START_REFUSED',
    facts: { problems: [{ code: 'OUTPUT_REPEATED' }] },
  })
  const record = await starts.judged(again(j), wish('2', true))
  expect((record.from as JobStart).notes).toEqual([
    'output of epoch 3 of job j is published already; it will be there twice',
  ])
  const first = await starts.beginningOf(record)!.make(checkpoint, { ref: j.refs[2]!, manifest: null })
  // Above everything that epoch 3 can have published (A10).
  expect(first.subtasks[0]).toMatchObject({
    segments: [{ chain: [{ key: segment(2) }] }],
    sinks: { out: { sequence: 3, handles: [] } },
  })
  await j.close()
})

test('under a new id the segments are copied, and begin a life of their own', async () => {
  const j = await failed()
  const record = await startsOf(j).judged(again(j, jobId('fork')), wish('j@3'))
  const first = await startsOf(j)
    .beginningOf(record)!
    .make({ ...checkpoint, epoch: epoch(1) }, null)
  expect(first.subtasks[0]).toMatchObject({
    segments: [{ chain: [{ key: 'jobs/fork/epochs/1-g1-a2/from-000001.seg' }] }],
    sinks: {},
  })
  expect(await j.has('jobs/fork/epochs/1-g1-a2/from-000001.seg')).toBe(true)
  await j.close()
})

test('A23: while a published transaction of the old run is not proven, nothing starts under its id', async () => {
  const j = await failed()
  const unsettled = { ...j, record: { ...j.record, ended: { ...j.record.ended!, ledger: 'unsettled' as const } } }
  await expect(startsOf(unsettled).judged(again(j), wish('3'))).rejects.toMatchObject({
    code: 'JOB_UNSETTLED',
    kind: 'retry',
  })
  await expect(startsOf(unsettled).judged(again(j, jobId('fork')), wish('j@3', true))).resolves.toBeDefined()
  await j.close()
})

test('A23: an id that a job has had is not given to the state of another one, whose transactions carry another id', async () => {
  const j = await failed()
  const both = new Starts({
    ...{ stores: j.stores, clock: systemClock, signal: new AbortController().signal, running: () => null },
    ended: (id) => ({ ...j.record, jobId: id }),
    finalEpoch: async () => j.refs.at(-1)!,
  })
  const judged = both.judged(again(j, jobId('other')), wish('j@3', true))
  await expect(judged).rejects.toMatchObject({ code: 'JOB_EXISTS', kind: 'invalid' })
  await j.close()
})

test.each([
  ['7', 'EPOCH_NOT_KEPT'],
  ['nothing', 'SAVEPOINT_UNKNOWN'],
  ['other@3', 'JOB_UNKNOWN'],
  ['Not A Name', 'START_INVALID'],
  ['http://x/', 'URL_INVALID'],
])('--from %s: %s', async (from, code) => {
  const j = await failed()
  await expect(startsOf(j).judged(again(j), wish(from))).rejects.toMatchObject({ code })
  await j.close()
})

test('a copied object is what it was described as, or it is none', async () => {
  const j = await failed()
  const folder = await mkdtemp(join(tmpdir(), 'weir-from-'))
  await writeFile(join(folder, 'state.seg'), 'half')
  const to = { objects: j.stores.objects, key: 'jobs/fork/epochs/1-g1-a1/from-000001.seg' }
  const of = { key: 'state.seg', bytes: 8, sha256: sha256(Buffer.from('half-and')) }
  const patience = { clock: systemClock, signal: new AbortController().signal, budgetMs: 100 }
  const elsewhere = j.stores.elsewhere!(`file://${folder}/`)
  await expect(copyObject(elsewhere, of, to, patience)).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT' })
  expect(await j.has(to.key)).toBe(false)
  await j.close()
})
