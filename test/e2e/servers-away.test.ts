/** A server the task-manager needs is not there: the job ends with the reason, after the restarts it may have. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet, mainJob } from './fleet.ts'

const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 0 }))
afterAll(() => fleet.stop())
const nobody = '127.0.0.1:1'

test.each([
  ['Kafka', { WEIR_KAFKA_BROKERS: nobody }, /RESTARTS_EXHAUSTED: .*no Kafka broker answers at 127\.0\.0\.1:1/],
  ['S3', { WEIR_S3_ENDPOINT: `http://${nobody}` }, /RESTARTS_EXHAUSTED: .*no answer from the object store/],
  ['no Kafka address', { WEIR_KAFKA_BROKERS: '' }, /KAFKA_NOT_CONFIGURED: .*WEIR_KAFKA_BROKERS/],
])('%s', async (name, env, message) => {
  const worker = await fleet.addWorker(env)
  const answer = await fleet.cli('submit', mainJob, '--id', `${name.toLowerCase().replaceAll(' ', '-')}-${fleet.run}`)
  await fleet.kill(worker)
  expect(answer.status).toBe(1)
  expect(answer.stderr).toMatch(message)
})
