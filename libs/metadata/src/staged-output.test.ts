import { mkdtemp, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore } from '@weir/checkpoint'
import type { StagedChunk, StagedRef } from '@weir/dataflow'
import { WeirError, attempt, generation, jobId, operatorUid, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FolderObjectStore, ObjectStagedOutput } from './index.ts'

let folder = ''
let objects: ObjectStore
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-staged-'))
  objects = new FolderObjectStore(folder)
})
afterAll(() => rm(folder, { recursive: true }))

function staged(of: { attempt: number; job: string; store?: ObjectStore; signal?: AbortSignal }): ObjectStagedOutput {
  const scope = {
    jobId: jobId(of.job),
    operatorUid: operatorUid('out'),
    subtask: subtask(0),
    attempt: { generation: generation(1), attempt: attempt(of.attempt) },
    signal: of.signal ?? new AbortController().signal,
  }
  return new ObjectStagedOutput(scope, { objects: of.store ?? objects, clock: systemClock })
}
async function store(output: ObjectStagedOutput, chunks: readonly StagedChunk[]): Promise<StagedRef> {
  const writer = output.begin()
  for (const chunk of chunks) {
    writer.append(chunk)
    await writer.room()
  }
  return JSON.parse(JSON.stringify(await writer.finish())) as StagedRef
}
async function read(output: ObjectStagedOutput, ref: StagedRef): Promise<StagedChunk[]> {
  const chunks: StagedChunk[] = []
  for await (const chunk of output.read(ref)) chunks.push({ ...chunk, bytes: Buffer.from(chunk.bytes) })
  return chunks
}
const chunk = (partition: number, bytes: number): StagedChunk => ({
  topic: `out-${partition}-ü`,
  partition,
  bytes: randomBytes(bytes),
})
/** Answers `retry` as often as told, then stores. */
function away(times: number): ObjectStore {
  return Object.assign(Object.create(objects) as ObjectStore, {
    put: (key: string, bytes: Uint8Array) =>
      times-- > 0
        ? Promise.reject(new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'away'))
        : objects.put(key, bytes),
  })
}

test('what was staged is read back, in order, by another instance', async () => {
  const chunks = [chunk(0, 10), chunk(3, 0), chunk(0, 5 << 20), chunk(1_000_000, 100), chunk(0, 4 << 20), chunk(1, 1)]
  const ref = await store(staged({ job: 'a', attempt: 1 }), chunks)
  expect(ref.parts.length).toBe(3)
  expect(await read(staged({ job: 'a', attempt: 2 }), ref)).toEqual(chunks)
})

test('nothing staged is no part', async () => {
  expect(await store(staged({ job: 'empty', attempt: 1 }), [])).toEqual({ parts: [] })
})

test('a store that is away is waited for; the attempt ends the wait', async () => {
  const chunks = [chunk(0, 5)]
  const ref = await store(staged({ job: 'b', attempt: 1, store: away(2) }), chunks)
  expect(await read(staged({ job: 'b', attempt: 1 }), ref)).toEqual(chunks)
  const attemptOver = new AbortController()
  const waiting = store(staged({ job: 'b', attempt: 2, store: away(Infinity), signal: attemptOver.signal }), chunks)
  attemptOver.abort(new WeirError({ code: 'SLICE_STOPPED', kind: 'restart' }, 'over'))
  await expect(waiting).rejects.toThrow()
})

test('more than 32 MiB is not taken before the store has some of it', async () => {
  const gate = Promise.withResolvers<void>()
  const slow = Object.assign(Object.create(objects) as ObjectStore, {
    put: (key: string, bytes: Uint8Array) => gate.promise.then(() => objects.put(key, bytes)),
  })
  const writer = staged({ job: 'c', attempt: 1, store: slow }).begin()
  for (let i = 0; i < 8; i++) {
    expect(writer.room()).toBeUndefined()
    writer.append(chunk(0, 4 << 20))
  }
  expect(writer.room()).toBeInstanceOf(Promise)
  gate.resolve()
  await writer.room()
  expect(writer.room()).toBeUndefined()
  expect((await writer.finish()).parts).toHaveLength(8)
})

test('what is missing or damaged is said by its key, before anything of it is used', async () => {
  const output = staged({ job: 'd', attempt: 1 })
  const ref = await store(output, [chunk(0, 100)])
  const { key } = ref.parts[0]!
  const { bytes } = (await objects.get(key))!
  bytes[20]! ^= 1
  await objects.put(key, bytes)
  await expect(read(output, ref)).rejects.toMatchObject({ code: 'STAGED_OUTPUT_CORRUPT', facts: { objectKey: key } })
  await output.delete(ref)
  await expect(read(output, ref)).rejects.toMatchObject({ code: 'STAGED_OUTPUT_MISSING', facts: { objectKey: key } })
})

test('a sweep deletes what earlier attempts have left, never what a later one has: the sweeper may be a zombie', async () => {
  const refs = await Promise.all([1, 2, 10].map((n) => store(staged({ job: 'e', attempt: n }), [chunk(0, 9)])))
  const left = async (): Promise<number[]> => {
    const there = await Promise.all(refs.map((ref) => objects.get(ref.parts[0]!.key)))
    return there.flatMap((object, i) => (object ? [[1, 2, 10][i]!] : []))
  }
  await staged({ job: 'e', attempt: 2 }).sweep('earlier-attempts')
  expect(await left()).toEqual([2, 10])
  await staged({ job: 'e', attempt: 2 }).sweep('this-attempt')
  expect(await left()).toEqual([10])
})
