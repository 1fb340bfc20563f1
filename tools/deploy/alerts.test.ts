/** Alerts speak of metrics that there are, and each has a page that says what to do. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { COMMANDS } from '../../apps/cli/src/cli/commands.ts'
import { knownMetrics, metricsOf } from './known-metrics.ts'

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

test('the commands of the pages are ones that the CLI has, and the links lead somewhere', () => {
  const names = COMMANDS.map(({ name }) => name)
  const isThere = (command: string): boolean => names.some((name) => name === command || name.startsWith(`${command} `))
  for (const alert of alerts) {
    const page = readFileSync(join(root, 'docs/runbooks', `${alert}.md`), 'utf8')
    expect(page).toMatch(/^# \w+\n\n[\s\S]+\n## Look at\n[\s\S]+\n## Do\n/)
    for (const [, command] of page.matchAll(/`weir ([a-z]+(?: (?:list|commit|abort|ls))?)\b/g))
      expect(isThere(command!), `${alert}: weir ${command}`).toBe(true)
    for (const [, file] of page.matchAll(/\]\((\w+)\.md\)/g)) expect(alerts).toContain(file)
  }
})
