import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { alertsIn } from './alertmanager.ts'
import { parseRemediation, readRemediation } from './config.ts'

const policy = { alert: 'A', cooldownSeconds: 60, actions: [{ do: 'restart-region' }] }
const limits = { job: 4, fleet: 10 }
const parsed = (config: unknown) => parseRemediation(JSON.stringify(config), 'the test')

test('the example of the documentation is one that is taken', () => {
  const page = readFileSync(new URL('../../../../docs/REMEDIATION.md', import.meta.url), 'utf8')
  const example = /```json\n([\s\S]+?)\n```/.exec(page)![1]!
  expect(parseRemediation(example, 'docs').policies.map(({ alert }) => alert)).toContain('WeirLatency')
})

test('without a file nothing is ever done; one that cannot be read is told', () => {
  expect(readRemediation({})).toBeNull()
  expect(() => readRemediation({ WEIR_REMEDIATION: '/nowhere/r.json' })).toThrow(
    /WEIR_REMEDIATION=\/nowhere\/r.json: ENOENT/,
  )
})

test.each([
  ['{', /it is not JSON/],
  [{ policies: [] }, /actionsPerHour/],
  [{ actionsPerHour: limits, policies: [], dryrun: true }, /dryrun/],
  [{ actionsPerHour: limits, policies: [{ ...policy, actions: [] }] }, /policies\.0\.actions/],
  [{ actionsPerHour: limits, policies: [{ ...policy, actions: [{ do: 'rescale', factor: 0.5, max: 8 }] }] }, /factor/],
  [{ actionsPerHour: limits, policies: [{ ...policy, actions: [{ do: 'reboot' }] }] }, /policies\.0\.actions\.0\.do/],
  [{ actionsPerHour: limits, policies: [policy, policy] }, /two policies are for A/],
])('%j is refused, and where', (config, said) => {
  const call = () => (typeof config === 'string' ? parseRemediation(config, 'the test') : parsed(config))
  expect(call).toThrow(expect.objectContaining({ code: 'REMEDIATION_INVALID' }) as Error)
  expect(call).toThrow(said)
})

test('of an alert its name, job and subtask are taken; what is no payload of Alertmanager is refused', () => {
  const alert = (labels: object) => ({ status: 'firing', labels, annotations: {}, startsAt: '2026-01-01T00:00:00Z' })
  const body = (alerts: unknown[]) => ({ version: '4', receiver: 'weir', status: 'firing', alerts })
  expect(
    alertsIn(body([alert({ alertname: 'A', job: 'pay', subtask: '3' }), alert({ alertname: 'B', subtask: 'x' })])),
  ).toEqual([
    { name: 'A', status: 'firing', job: 'pay', subtask: 3 },
    { name: 'B', status: 'firing', job: null, subtask: null },
  ])
  for (const wrong of [null, [], { version: '3', alerts: [] }, body([{ status: 'on', labels: {} }])])
    expect(() => alertsIn(wrong)).toThrow(expect.objectContaining({ code: 'ALERTS_INVALID' }) as Error)
})
