import { testJob } from '@weir/sdk/testing'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { bundleJob } from './bundle.ts'
import { validate } from './pipeline.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../examples/src/${name}`, import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'weir-pipeline-test-'))
afterAll(() => rmSync(dir, { recursive: true }))
function written(name: string, text: string): string {
  const file = join(dir, name)
  writeFileSync(file, text)
  return file
}
const payments = Array.from({ length: 200 }, (_, i) => ({
  ...{ id: `p-${i}`, user: `u-${i % 7}`, amountMinor: (i * 7_919) % 10_000 },
  ...{ status: i % 10 === 3 ? 'FAILED' : 'PAID', ts: Date.UTC(2026, 0, 1) + i * 500 },
}))

test('the pipeline of the tour has the graph of its twin in TypeScript, and puts out the same', async () => {
  const params = { users: '7', sums: 'a', counts: 'b' }
  const [yaml, typescript] = await Promise.all([
    bundleJob(example('02-payments.yaml'), params),
    bundleJob(example('02-payments.ts'), params),
  ])
  expect(yaml.graphHash).toBe(typescript.graphHash)
  expect(yaml.digest).not.toBe(typescript.digest)
  const [first, second] = await Promise.all(
    [yaml, typescript].map(async ({ plan }) => {
      const t = testJob(plan.job, { parallelism: 2 })
      await t.feed('payments', payments.slice(0, 120))
      await t.checkpoint()
      await t.restart()
      await t.feed('payments', payments.slice(120))
      await t.end()
      return [t.committed('a'), t.committed('b')]
    }),
  )
  expect(first).toEqual(second)
  expect(first!.map((records) => records.length)).toEqual([180, expect.any(Number)])
})

test('a bundle holds neither YAML nor schemas, and the parameters it was made with', async () => {
  const [one, other] = await Promise.all(['5', '6'].map((users) => bundleJob(example('02-payments.yaml'), { users })))
  expect(one!.digest).not.toBe(other!.digest)
  const text = Buffer.from(one!.bytes).toString()
  expect(text).not.toMatch(/parseDocument|toJSONSchema/)
})

test('what reads Avro is in the bundle of a pipeline that names it, and in no other', async () => {
  const bundle = (format: string) =>
    bundleJob(
      written(
        `${format.length}.yaml`,
        `version: 1\nname: p\nsteps:\n  - from: { kafka: { topic: t, format: ${format} } }\n  - to: { log: out }\n`,
      ),
      {},
    )
  const [json, avro] = await Promise.all([bundle('json'), bundle('{ avro: { type: array, items: long } }')])
  const t = testJob(avro.plan.job, { parallelism: 1 })
  await t.feed('t', [[1, 2]])
  await t.end()
  expect(t.committed('out').map(({ value }) => value)).toEqual([[1, 2]])
  expect([json, avro].map(({ bytes }) => Buffer.from(bytes).toString().includes('no Avro schema'))).toEqual([
    false,
    true,
  ])
})

test('a key of the prototype is a field like any other, or refused', async () => {
  const head = 'version: 1\nname: p\nsteps:\n  - from: { log: { topic: t } }\n'
  const file = written('proto.yaml', `${head}  - map: { "__proto__": value.a }\n  - to: { log: out }\n`)
  await expect(bundleJob(file, {})).rejects.toThrow(expect.objectContaining({ code: 'PIPELINE_INVALID' }) as Error)
})

test('validate tells of every file, with exit code 2 for a mistake', async () => {
  const head = 'version: 1\nname: p\nsteps:\n  - from: { log: { topic: t } }\n'
  const right = written('right.yaml', `${head}  - to: { log: out }\n`)
  const wrong = written('wrong.yml', `${head}  - fliter: value.a\n  - to: { log: out }\n`)
  const said: [unknown, string][] = []
  const run = (...files: string[]): Promise<number> => validate(files, {}, (value, text) => said.push([value, text]))
  expect([await run(right), await run(right, wrong)]).toEqual([0, 2])
  expect(said[0]).toEqual([{ ok: true, problems: [] }, `${right}: job "p", 2 operators`])
  expect(said[1]![0]).toMatchObject({ ok: false, problems: [{ file: wrong, line: 5, column: 5 }] })
  expect(said[1]![1]).toContain('    5 |   - fliter: value.a\n      |     ^^^^^^\n')
  await expect(run(join(dir, 'none.yaml'))).rejects.toThrow(
    expect.objectContaining({ code: 'JOB_FILE_MISSING' }) as Error,
  )
  await expect(bundleJob(wrong, {})).rejects.toThrow(expect.objectContaining({ code: 'PIPELINE_INVALID' }) as Error)
})
