/** The `weir ingest` path on a real Kafka: what was answered with 2xx is read by an outside consumer, also behind kill -9. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { KafkaConnections, KafkaDurableLog } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../stack/endpoints.ts'
import { createTopics } from '../stack/topics.ts'

const broker = stackEndpoints().kafka
const topic = `ingest-${systemRandom.nonce().slice(0, 8)}`
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-test' }, { clock: systemClock })
const admin = kafka.admin()
const children: ChildProcess[] = []
beforeAll(async () => {
  await admin.connect()
  await createTopics(admin, [topic], 2)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await admin.disconnect()
  await kafka.close()
})
const cli = new URL('../../apps/cli/dist/main.js', import.meta.url).pathname

async function server(): Promise<{ child: ChildProcess; url: string }> {
  const args = [cli, 'ingest', '--topic', topic, '--topic', `${topic}-missing`, '--listen', '127.0.0.1:0', '--json']
  const child = spawn(process.execPath, [...args, '--kafka', broker], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const { port } = JSON.parse(line) as { port: number }
  return { child, url: `http://127.0.0.1:${port}/topics/${topic}` }
}
/** `key value idempotency-key` of every record, by an outside consumer. */
const read = (): string[] =>
  execFileSync('kcat', ['-b', broker, '-C', '-t', topic, '-e', '-q', '-o', 'beginning', '-f', '%k %s %h\n'])
    .toString()
    .split('\n')
    .filter((line) => line !== '')

test('whatever was acknowledged is in the log, in the order of its key, also when the server is killed', async () => {
  const acknowledged: string[] = []
  for (let round = 0; round < 2; round++) {
    const { child, url } = await server()
    let killed = false
    const senders = Array.from({ length: 8 }, async (_, sender) => {
      for (let n = 0; n < 1_000 && !killed; n++) {
        const name = `${round}.${sender}.${n}`
        const headers = { 'weir-key': `s${sender}`, 'idempotency-key': name, 'content-type': 'text/plain' }
        const answer = await fetch(url, { method: 'POST', headers, body: name }).catch(() => null)
        if (answer?.ok) acknowledged.push(name)
      }
    })
    await expect.poll(() => acknowledged.length).toBeGreaterThan((round + 1) * 200)
    killed = child.kill('SIGKILL')
    await Promise.all(senders)
  }
  const records = read()
  const values = records.map((line) => line.split(' ')[1]!)
  expect(acknowledged.filter((name) => !values.includes(name))).toEqual([])
  expect(new Set(values).size).toBe(values.length)
  const [key, value, headers] = records[0]!.split(' ')
  expect([key, headers]).toEqual([`s${value!.split('.')[1]}`, `idempotency-key=${value},content-type=text/plain`])
  const numbers = values.filter((v) => v.startsWith('0.3.')).map((v) => Number(v.split('.')[2]))
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
})

test('a topic that is not there and a record that is too large are told apart from a log that is away', async () => {
  const record = { key: null, timestamp: 0, headers: [] }
  const log = new KafkaDurableLog({ brokers: [broker], clientId: 'weir-test' })
  const missing = log.append(`${topic}-missing`, [{ ...record, value: Buffer.from('a') }])
  await expect(missing).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC', kind: 'invalid' })
  const large = log.append(topic, [{ ...record, value: Buffer.alloc(2 << 20) }])
  await expect(large).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE', kind: 'invalid' })
  await log.append(topic, [{ ...record, value: Buffer.from('after') }])
  expect(read().some((line) => line.includes('after'))).toBe(true)
  await log.close()
  const nobody = new KafkaDurableLog({ brokers: ['127.0.0.1:1'], clientId: 'weir-test' })
  const away = nobody.append(topic, [{ ...record, value: Buffer.from('a') }])
  await expect(away).rejects.toMatchObject({ code: 'LOG_AWAY', kind: 'retry' })
})
