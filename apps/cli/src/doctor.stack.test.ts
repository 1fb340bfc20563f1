/** `weir doctor` on the servers of the stack: one broker, one etcd, and what that means in each profile. */
import { expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { bundleJob } from './bundle.ts'
import { doctor, type DoctorCommand } from './doctor.ts'

const { kafka, etcd, s3, redis } = stackEndpoints()
const env = {
  ...{ WEIR_KAFKA_BROKERS: kafka, WEIR_ETCD: etcd, WEIR_S3_ENDPOINT: s3.url, WEIR_S3_BUCKET: s3.bucket },
  ...{ WEIR_S3_ACCESS_KEY: s3.accessKey, WEIR_S3_SECRET_KEY: s3.secretKey, WEIR_S3_PREFIX: 'doctor/' },
}
const job = new URL('../../examples/src/01-orders.ts', import.meta.url).pathname

interface Printed {
  readonly diagnoses: readonly { readonly code: string; readonly severity: string; readonly what: string }[]
  readonly refused: readonly { readonly code: string }[]
}
async function run(over: Partial<DoctorCommand>): Promise<{ exitCode: number; text: string; value: Printed }> {
  const printed: { value: Printed; text: string }[] = []
  const command = { plan: null, topics: [], redis: [], kafka: undefined, profile: 'production', env }
  const exitCode = await doctor({ ...command, ...over }, (value, text) =>
    printed.push({ value: value as Printed, text }),
  )
  return { exitCode, ...printed[0]! }
}

test('production refuses what stands on one broker, and names the remedy', async () => {
  const { exitCode, text, value } = await run({})
  expect(exitCode).toBe(1)
  expect(new Set(value.refused.map(({ code }) => code))).toContain('KAFKA_TRANSACTION_LOG')
  expect(text).toMatch(/unsafe {3}KAFKA_TRANSACTION_LOG: __transaction_state: 1 replica.*\n +→ give it 3 replicas/)
  const looked = value.diagnoses.map(({ code }) => code)
  expect(looked).toEqual(
    expect.arrayContaining(['ETCD_ALARM', 'ETCD_SPACE', 'OBJECTS_READ_AFTER_WRITE', 'CLOCK_SKEW', 'MACHINE_DISK']),
  )
})

test('development forgives it; a job is held against its own topics and the Redis it is given', async () => {
  process.env['DOCTOR_REDIS'] = `redis://${redis}`
  const { plan } = await bundleJob(job, { orders: 'doctor-orders' })
  const { exitCode, value } = await run({ plan: plan.summary, profile: 'development', redis: ['env:DOCTOR_REDIS'] })
  expect(exitCode).toBe(0)
  expect(value.diagnoses).toContainEqual(
    expect.objectContaining({ code: 'KAFKA_TOPIC_MISSING', what: 'topic "doctor-orders"' }),
  )
  expect(value.diagnoses.map(({ what }) => what)).toContain('Redis of "env:DOCTOR_REDIS"')
})

test('a server that is away is not unsafe, but the exit code says that it was not seen', async () => {
  const { exitCode, text } = await run({ kafka: '127.0.0.1:1', env: {} })
  expect(exitCode).toBe(3)
  expect(text).toMatch(/NOT_EXAMINED: Kafka at 127.0.0.1:1: .*\n.*WEIR_KAFKA_BROKERS/)
})

test('a profile that is none', async () => {
  await expect(run({ profile: 'staging' })).rejects.toMatchObject({ code: 'USAGE', kind: 'invalid' })
})
