import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { bundleJob, type Bundle } from './bundle.ts'

// Inside of the checkout: a job file finds its packages from where it lies.
const dir = mkdtempSync(join(import.meta.dirname, '.bundle-test-'))
afterAll(() => rmSync(dir, { recursive: true }))

async function bundled(text: string): Promise<Bundle> {
  const file = join(dir, 'job.ts')
  writeFileSync(file, text)
  return bundleJob(file, {})
}
const job = (more: string, codec: string): string => `
  import { ${codec}, job, json, kafka } from '@weir/sdk'
  ${more}
  export default job('orders', (flow) =>
    flow.from(kafka.topic('orders', { value })).to(kafka.sink('out', { value: json() })))`

test('a bundle holds the codecs its job uses and no others', async () => {
  const json = await bundled(job('const value = json()', 'map'))
  const avro = await bundled(job(`const value = avro({ type: 'array', items: 'long' })`, 'avro'))
  const protobuf = await bundled(
    job(
      `import { TimestampSchema } from '@bufbuild/protobuf/wkt'
       const value = protobuf(TimestampSchema)`,
      'protobuf',
    ),
  )
  const has = ({ bytes }: Bundle, of: string): boolean => Buffer.from(bytes).includes(of)
  expect([json, avro, protobuf].map((b) => has(b, 'potential precision loss'))).toEqual([false, true, false])
  expect([json, avro, protobuf].map((b) => has(b, 'google.protobuf'))).toEqual([false, false, true])
})

test('CommonJS packages find the modules of Node, whatever the job itself calls require', async () => {
  const { plan } = await bundled(
    job(
      `import { createRequire } from 'node:module'
       const require = createRequire(import.meta.url)
       const value = avro(require('node:os').EOL === '' ? 'null' : 'string')`,
      'avro',
    ),
  )
  expect(plan.job.name).toBe('orders')
})
