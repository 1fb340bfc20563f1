import { expect, test } from 'vitest'
import { openTracing } from './tracing.ts'

const nobody = (): never => expect.unreachable()

test('without an endpoint there are no traces', async () => {
  expect(await openTracing('job-manager', {}, nobody)).toBeNull()
  expect(await openTracing('job-manager', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, nobody)).toBeNull()
})

test('a part of all traces that is none is refused with what to write', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_SAMPLER_ARG: 'half' }
  await expect(openTracing('job-manager', env, nobody)).rejects.toThrow(/OTEL_TRACES_SAMPLER_ARG=half: give .* 0 … 1/)
})

test('what is not sampled has no context to travel; what is open is current inside, and only there', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_SAMPLER_ARG: '0' }
  const none = (await openTracing('job-manager', env, () => {}))!
  const span = none.begin('weir.checkpoint', null, {})
  expect(span.traceparent).toBeNull()
  const sampled = none.begin('slice.deploy', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', {})
  expect(sampled.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/)
  expect(sampled.within(() => none.ids())).toEqual({
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    span_id: sampled.traceparent!.split('-')[2],
  })
  expect(none.ids()).toEqual({})
})
