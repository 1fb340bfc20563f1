/** Alerts speak of metrics that there are, and each has a page that says what to do. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { knownMetrics, metricsOf } from './known-metrics.ts'
import { codeIn, problemsIn } from './runbooks.ts'

const root = new URL('../../', import.meta.url).pathname
interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}
const { groups } = parse(readFileSync(join(root, 'deploy/helm/weir/alerts/weir.rules.yaml'), 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[]
}
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.flatMap(({ alert }) => (alert === undefined ? [] : [alert]))

test('every metric that a rule speaks of is one that a process has', async () => {
  const there = new Set([...(await knownMetrics()), ...rules.flatMap(({ record }) => record ?? [])])
  const named = rules.flatMap(({ expr }) => metricsOf(expr))
  expect(named.length).toBeGreaterThan(20)
  expect([...new Set(named)].filter((name) => !there.has(name))).toEqual([])
})

test('a bound of a histogram is found however it is written: 1 by Prometheus 2, 1.0 from 3 on', () => {
  const bounds = rules.flatMap(({ expr }) => [...expr.matchAll(/\ble=(~?)"([^"]+)"/g)])
  expect(bounds.map(([, , value]) => value)).toEqual(['1|1.0', '1|1.0'])
  expect(bounds.every(([, matches]) => matches === '~')).toBe(true)
})

test('every alert has a severity, a summary, a page of its own, and a test', () => {
  for (const { alert, labels, annotations } of rules) {
    if (alert === undefined) continue
    expect(labels?.['severity'], alert).toMatch(/^(critical|warning)$/)
    expect(annotations?.['summary'], alert).toBeTruthy()
  }
  const pages = readdirSync(join(root, 'docs/runbooks')).map((file) => file.replace('.md', ''))
  expect(pages.sort()).toEqual([...alerts].sort())
  const tests = readFileSync(join(root, 'deploy/helm/weir/alerts/weir.test.yaml'), 'utf8')
  expect(alerts.filter((alert) => !tests.includes(`"${alert}"`))).toEqual([])
})

test('what the pages tell people to type, to ask and to look at is there', async () => {
  const known = { alerts, metrics: await knownMetrics() }
  const pages = alerts.map(
    (alert) => [alert, readFileSync(join(root, 'docs/runbooks', `${alert}.md`), 'utf8')] as const,
  )
  expect(pages.flatMap(([alert, page]) => problemsIn(page, known).map((problem) => `${alert}: ${problem}`))).toEqual([])
  const commands = pages.flatMap(([, page]) => codeIn(page)).filter((code) => /^(weir|curl) /.test(code))
  expect(new Set(commands).size).toBeGreaterThan(10)
})

const sound = '# A\n\nWhat it means.\n\n## Look at\n\n- `weir get JOB-ID`\n\n## Do\n\n- Nothing.\n'
test.each([
  ['no section', '# A\n\n## Do\n\n- `weir get JOB-ID`\n', /"## Look at"/],
  ['a page that is not there', `${sound}- [B](B.md)\n`, /no page B/],
  ['a metric that nobody has', `${sound}- \`rate(weir_nothing_total[5m])\`\n`, /weir_nothing_total/],
  ['metrics of which there is none', `${sound}- \`weir_nothing_*\`\n`, /weir_nothing_/],
  ['a command that is not there', `${sound}- \`weir abort JOB-ID\`\n`, /there is no command "abort"/],
  ['half a command', `${sound}- \`weir txn JOB-ID\`\n`, /txn needs/],
  ['a command that takes more', `${sound}- \`weir rescale JOB-ID\`\n`, /N is missing: weir rescale JOB-ID N/],
  ['an option of another command', `${sound}- \`weir get JOB-ID --from 3\`\n`, /no option of "weir get"/],
  ['a route that is not there', `${sound}- \`curl -s JOB-MANAGER/api/v1/jobs/JOB-ID/epochs\`\n`, /no such route/],
  ['a question to nobody', `${sound}- \`curl -s localhost/healthz\`\n`, /of which process/],
  ['a route of another process', `${sound}- \`curl -s TASK-MANAGER/api/v1/jobs\`\n`, /a task-manager has/],
  [
    'an object the chart has not',
    `${sound}- \`kubectl scale statefulset/weir-worker --replicas=N\`\n`,
    /no statefulset/,
  ],
  ['a program of nobody', `${sound}- \`weirctl status now\`\n`, /nobody knows weirctl/],
])('of a page with %s it is told', (_, page, said) => {
  const known = { alerts: ['A'], metrics: new Set<string>() }
  expect(problemsIn(sound, known)).toEqual([])
  expect(problemsIn(page, known)).toEqual([expect.stringMatching(said)])
})
