/** The contract of every sink for files, on a disk and in S3; what was written is read by other programs. */
import type { ObjectStore } from '@weir/checkpoint'
import { MemoryStagedOutput, contextOf, exactlyOnceSinkContract } from '@weir/dataflow/testing'
import { openElsewhere } from '@weir/metadata'
import { attempt, epoch, generation } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { parquetReadObjects } from 'hyparquet'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { stackEndpoints } from '../../../../test/stack/endpoints.ts'
import { FilesDestination, StagedSink, filesSinkOptions } from '../index.ts'

const { url, accessKey, secretKey, bucket } = stackEndpoints().s3
const env = { WEIR_S3_ENDPOINT: url, WEIR_S3_ACCESS_KEY: accessKey, WEIR_S3_SECRET_KEY: secretKey }
const run = systemRandom.nonce().slice(0, 8)
const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))
let serial = 0
async function newFolder(where: string): Promise<string> {
  if (where === 's3') return `s3://${bucket}/files-${run}/${serial++}/`
  const folder = await mkdtemp(join(tmpdir(), 'weir-files-'))
  folders.push(folder)
  return `file://${folder}/`
}

const context = contextOf('orders', 'out')
const checkpoint = (n: number) => ({ epoch: epoch(n), generation: generation(1), attempt: attempt(1) })
const sinkOf = (
  descriptor: Record<string, unknown> & { folder: string },
  { staged = new MemoryStagedOutput(), encodeValue = JSON.stringify as (value: unknown) => string } = {},
): StagedSink => {
  const options = filesSinkOptions({ connector: 'files', rollBytes: 1 << 20, ...descriptor }, encodeValue)
  const destination = new FilesDestination(options, { context, objects: openElsewhere(descriptor.folder, env) })
  return new StagedSink({ context, clock: systemClock, staged, asides: null, destination })
}
const isRow = (key: string): boolean => !key.startsWith('_')
const filesIn = async (objects: ObjectStore): Promise<string[]> => (await objects.list('')).filter(isRow)

/** As any other program does it: the files in the order of their names. */
const PYTHON = `
import json, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob('*.ndjson')):
    with open(path) as lines:
        for line in lines: print(json.dumps(json.loads(line)))`

describe.each([
  ['file', 'ndjson'],
  ['file', 'parquet'],
  ['s3', 'ndjson'],
  ['s3', 'parquet'],
])('%s %s', (where, format) => {
  exactlyOnceSinkContract(async () => {
    const folder = await newFolder(where)
    const staged = new MemoryStagedOutput()
    const objects = openElsewhere(folder, env)
    const descriptor = { folder, format, rollBytes: 40_000, columns: [{ column: 'v', type: 'STRING', from: '$value' }] }
    return {
      sink({ asides, encodeValue }) {
        const options = filesSinkOptions({ connector: 'files', ...descriptor }, (v) => JSON.stringify(encodeValue(v)))
        const destination = new FilesDestination(options, { context, objects: openElsewhere(folder, env) })
        const encode = destination.encode.bind(destination)
        destination.encode = (batch, i) => {
          encodeValue(batch.values[i])
          return encode(batch, i)
        }
        return new StagedSink({ context, clock: systemClock, staged, asides, destination })
      },
      async committed() {
        const values: string[] = []
        for (const key of await filesIn(objects)) {
          const bytes = Buffer.from((await objects.get(key))!.bytes)
          if (format === 'ndjson')
            values.push(
              ...bytes
                .toString()
                .trimEnd()
                .split('\n')
                .map((l) => JSON.parse(l) as string),
            )
          else {
            const file = new Uint8Array(bytes).buffer
            values.push(...(await parquetReadObjects({ file })).map((row) => (row as { v: string }).v))
          }
        }
        return values
      },
      leftovers: () => Promise.resolve(staged.stored.size),
      tells: { fenced: true, regression: true },
    }
  })
})

/** One epoch, published. */
async function epochOf(sink: StagedSink, n: number, ...values: unknown[]): Promise<void> {
  await sink.write({ keys: null, values, timestamps: values.map(() => 0) })
  const { sequence } = await sink.prepare(checkpoint(n))
  await sink.commit(sequence)
}

test('NDJSON is read by Python, in the order of its files; what is larger than a file is several', async () => {
  const folder = await newFolder('file')
  const sink = sinkOf({ folder, format: 'ndjson', rollBytes: 60 })
  await sink.recover(null)
  const rows = Array.from({ length: 10 }, (_, id) => ({ id, text: 'ü\n"quoted"' }))
  await epochOf(sink, 1, ...rows.slice(0, 6))
  await epochOf(sink, 2, ...rows.slice(6))
  await sink.close('leave')
  const path = new URL(folder).pathname
  const read = execFileSync('python3', ['-c', PYTHON, path]).toString().trimEnd().split('\n')
  expect(read.map((line) => JSON.parse(line) as unknown)).toEqual(rows)
  expect((await readdir(path)).sort()).toEqual([
    '_manifests',
    '_weir',
    ...['1-0000', '1-0001', '1-0002', '2-0000', '2-0001'].map((n) => `orders.out.0-000000000${n}.ndjson`),
  ])
})

test('the manifest of a transaction names its files, and old markers are removed', async () => {
  const folder = await newFolder('s3')
  const sink = sinkOf({ folder, format: 'ndjson', rollBytes: 1 })
  await sink.recover(null)
  await epochOf(sink, 1, 'a', 'b')
  for (const n of [2, 3, 4]) await epochOf(sink, n, n)
  await sink.close('leave')
  const objects = openElsewhere(folder, env)
  const manifest = (await objects.get('_manifests/orders.out.0-0000000001.json'))!
  expect(JSON.parse(Buffer.from(manifest.bytes).toString())).toEqual({
    sequence: 1,
    files: ['a', 'b'].map((_, n) => ({ file: `orders.out.0-0000000001-000${n}.ndjson`, rows: 1, bytes: 4 })),
  })
  expect(await objects.list('_weir/')).toEqual(['done.3', 'done.4', 'fence.1'].map((n) => `_weir/orders.out.0/${n}`))
})

test('every type of Parquet is read back as it was written', async () => {
  const folder = await newFolder('s3')
  const types = { b: 'BOOLEAN', i: 'INT32', l: 'INT64', d: 'DOUBLE', s: 'STRING', j: 'JSON', t: 'TIMESTAMP' }
  const columns = Object.entries(types).map(([column, type]) => ({ column, type, from: column }))
  const sink = sinkOf({ folder, format: 'parquet', columns })
  await sink.recover(null)
  const row = { b: true, i: -1, l: 2n ** 62n, d: 0.1, s: 'ü', j: { a: [1, null] }, t: 1_750_000_000_123 }
  await epochOf(sink, 1, row, {}, { ...row, l: 7, j: 'text', t: new Date(0) })
  await sink.close('leave')
  const objects = openElsewhere(folder, env)
  const [key] = await filesIn(objects)
  const file = new Uint8Array((await objects.get(key!))!.bytes).buffer
  expect(await parquetReadObjects({ file })).toEqual([
    { ...row, t: new Date(row.t) },
    Object.fromEntries(Object.keys(types).map((column) => [column, null])),
    { ...row, l: 7n, j: 'text', t: new Date(0) },
  ])
})

test.each([
  ['parquet', { v: 2 ** 31 }, 'INT32'],
  ['parquet', { v: 1.5 }, 'INT32'],
  ['parquet', { v: 2 ** 53 }, 'INT64'],
  ['parquet', { v: '\ud800' }, 'STRING'],
  ['parquet', { v: NaN }, 'TIMESTAMP'],
  ['ndjson', 'two\nlines', 'STRING'],
  ['ndjson', '', 'STRING'],
] as const)('%s: %o as %s is refused before it is prepared', async (format, value, type) => {
  const folder = await newFolder('file')
  const columns = [{ column: 'v', type, from: 'v' }]
  const sink = sinkOf({ folder, format, columns }, { encodeValue: String })
  await sink.recover(null)
  const refused = async (): Promise<void> => sink.write({ keys: null, values: [value], timestamps: [0] })
  await expect(refused()).rejects.toMatchObject({ code: 'ENCODE_FAILED', kind: 'invalid' })
  await sink.close('leave')
})

test('what a process that died was writing is hidden, and removed by the next one', async () => {
  const folder = await newFolder('file')
  const path = new URL(folder).pathname
  const sink = sinkOf({ folder, format: 'ndjson' })
  await sink.recover(null)
  await epochOf(sink, 1, 'a')
  await sink.close('leave')
  const torn = '.orders.out.0-0000000002-0000.ndjson.6f1ed002.part'
  const foreign = '.other.out.0-0000000002-0000.ndjson.6f1ed002.part'
  for (const name of [torn, foreign]) await writeFile(join(path, name), '"half')
  const state = { sequence: 1, handles: [] }
  const next = sinkOf({ folder, format: 'ndjson' })
  await next.recover(state)
  await next.close('leave')
  expect((await readdir(path)).filter((name) => name.startsWith('.'))).toEqual([foreign])
})
