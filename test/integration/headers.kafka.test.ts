/** Headers through a job on a real broker: written by kcat, read by kcat. */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { verifyJob } from '@weir/dataflow'
import { KafkaConnections, KafkaTopics } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { cloudEvents, headerText, job, json, kafka as topics, withHeaders } from '@weir/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../stack/endpoints.ts'
import { createTopics } from '../stack/topics.ts'
import { runBounded } from './bounded-job.ts'

const broker = stackEndpoints().kafka
const run = systemRandom.nonce().slice(0, 8)
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-headers' }, { clock: systemClock })
const [input, output, dead] = [`in-${run}`, `out-${run}`, `dead-${run}`]
const name = `headers-${run}`
const [asked, traced] = [`asked-${run}`, `traced-${run}`]

beforeAll(async () => {
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [input, output, dead, asked, traced, `${name}.receipts`], 1)
  await admin.disconnect()
})
afterAll(() => kafka.close())

const put = (value: string, headers: readonly string[], to = input): void => {
  const args = headers.flatMap((header) => ['-H', header])
  execFileSync('kcat', ['-b', broker, '-P', '-t', to, ...args], { input: value })
}
const read = (topic: string, format: string): string[] =>
  execFileSync('kcat', ['-b', broker, '-C', '-t', topic, '-e', '-q', '-f', `${format}\n`], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '')

test('headers reach the job and its outputs, dead letters keep theirs, and receipts speak for all of them', async () => {
  put('{"id":1}', ['region=eu', 'trace=abc'])
  put('{"id":2}', ['region=us'])
  put('no JSON', ['region=eu'])
  put('{"id":3}', [])
  const definition = job(name, { audit: true, deadLetters: topics.sink(dead) }, (flow) => {
    flow
      .from(topics.topic(input, { value: withHeaders(json<{ id: number }>()), until: 'latest' }), 'in')
      .filter(({ headers }) => headerText(headers, 'region') !== 'us', 'not-us')
      .to(
        topics.sink(output, {
          value: withHeaders(json()),
          headers: ({ value }) => [
            ['id', String((value as { id: number }).id)],
            ['empty', null],
          ],
        }),
        'out',
      )
  })
  await runBounded(definition, { kafka })
  expect(read(output, '%s %h')).toEqual(['{"id":1} region=eu,trace=abc,id=1,empty=NULL', '{"id":3} id=3,empty=NULL'])
  expect(read(dead, '%s %h')).toEqual([expect.stringMatching(/^no JSON region=eu,weir\.dead\.job=/)])

  const verification = await verifyJob(
    { jobId: name, topic: `${name}.receipts`, shared: [] },
    {
      topics: new KafkaTopics({ kafka, clock: systemClock, signal: new AbortController().signal }),
      hashes: { sha256: (bytes) => hash('sha256', bytes, 'hex'), crc32: (bytes) => crc32(bytes) },
      settle: () => Promise.resolve(),
    },
  )
  expect(verification.findings).toEqual([])
  expect(verification).toMatchObject({ receipts: 1 })
})

test('events and their trace context: read in the mode they came in, written with the context of their input', async () => {
  const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const event = ['ce_specversion=1.0', 'ce_id=7', 'ce_source=/shop', 'ce_type=order', 'content-type=application/json']
  put('{"n":1}', [...event, `traceparent=${parent}`, 'tracestate=a=1'], asked)
  const structured = '{"specversion":"1.0","id":"8","source":"/shop","type":"order","data":{"n":2}}'
  put(structured, ['content-type=application/cloudevents+json'], asked)
  const definition = job(`events-${run}`, { traceContext: true }, (flow) => {
    flow
      .from(topics.topic(asked, { value: cloudEvents(json<{ n: number }>()), until: 'latest' }), 'in')
      .flatMap(({ id, data }) => [{ causedby: id, data: { n: data!.n * 2 } }])
      .to(topics.sink(traced, { value: cloudEvents(json(), { source: '/double', type: 'double' }) }), 'out')
  })
  await runBounded(definition, { kafka })
  const common = 'ce_specversion=1.0,ce_source=/double,ce_type=double,ce_time='
  expect(read(traced, '%s %h')).toEqual([
    expect.stringMatching(
      `^\\{"n":2\\} ${common}[^,]+,ce_causedby=7,ce_id=out:${asked}-0-0\\.0,content-type=application/json,traceparent=${parent},tracestate=a=1$`,
    ),
    expect.stringMatching(
      `^\\{"n":4\\} ${common}[^,]+,ce_causedby=8,ce_id=out:${asked}-0-1\\.0,content-type=application/json$`,
    ),
  ])
})
