/** What a dashboard's queries and links name is there: variables, dashboards, labels. And logs lead to traces by what they really say. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { dashboards } from './dashboards/index.ts'

const root = new URL('../../', import.meta.url).pathname
/** Of Grafana itself. */
const BUILTIN = ['__from', '__to', '__rate_interval', '__url_time_range', '__value.raw']

const variablesOf = (dashboard: Dashboard): string[] => (dashboard.templating?.list ?? []).map(({ name }) => name)

/** Every string in it. */
function* texts(of: unknown): Generator<string> {
  if (typeof of === 'string') yield of
  else if (typeof of === 'object' && of !== null) for (const inner of Object.values(of)) yield* texts(inner)
}
/** `$name`, `${name}`, `${name:format}`. */
const namedIn = (text: string): string[] =>
  [
    ...decodeURIComponent(text.replace(/%(?![0-9A-F]{2})/g, '%25')).matchAll(
      /\$(?:\{([\w.]+)(?::\w+)?\}|([a-z_]\w*))/g,
    ),
  ].map(([, braced, plain]) => braced ?? plain!)

test('every variable that a query, a link or a data source names is one of its dashboard, or of Grafana', () => {
  let named = 0
  for (const [name, dashboard] of dashboards) {
    const known = [...variablesOf(dashboard), ...BUILTIN]
    for (const text of texts(dashboard.panels))
      for (const variable of namedIn(text)) {
        named++
        if (!variable.startsWith('__field.labels.')) expect(known, `${name}: ${text}`).toContain(variable)
      }
  }
  expect(named).toBeGreaterThan(100)
})

test('every variable on top of a dashboard is used', () => {
  for (const [name, dashboard] of dashboards) {
    const used = new Set([...texts(dashboard.panels), ...texts(dashboard.templating)].flatMap(namedIn))
    expect(
      variablesOf(dashboard).filter((variable) => !used.has(variable)),
      name,
    ).toEqual([])
  }
})

test('a link to another dashboard leads to one that is there, and sets variables that it has', () => {
  const byUid = new Map([...dashboards.values()].map((dashboard) => [dashboard.uid!, dashboard]))
  const links = [...dashboards.values()].flatMap(({ panels }) =>
    [...texts(panels)].filter((text) => text.startsWith('/d/')),
  )
  expect(links.length).toBeGreaterThan(5)
  for (const link of links) {
    const [, uid] = /^\/d\/([\w-]+)/.exec(link)!
    const to = byUid.get(uid!)
    expect(to, link).toBeDefined()
    const set = [...link.matchAll(/var-(\w+)=|\$\{(\w+):queryparam\}/g)].map(([, name, passed]) => name ?? passed!)
    for (const variable of set) expect(variablesOf(to!), link).toContain(variable)
  }
})

test('a link of a line in a panel names labels that every line of the panel has', () => {
  let named = 0
  for (const { panels } of dashboards.values())
    for (const panel of panels ?? []) {
      if (panel.type === 'row' || !('targets' in panel)) continue
      const labels = [...texts(panel)].flatMap(namedIn).flatMap((of) => /^__field\.labels\.(\w+)$/.exec(of)?.[1] ?? [])
      named += labels.length
      for (const target of panel.targets ?? [])
        for (const label of labels)
          expect((target as { readonly legendFormat?: string }).legendFormat, panel.title).toContain(`{{${label}}}`)
    }
  expect(named).toBeGreaterThan(0)
})

test('data sources: a log line as it is written leads to its trace, and a trace to the lines that name it', () => {
  interface Source {
    readonly uid: string
    readonly type: string
    readonly jsonData?: {
      readonly derivedFields?: readonly {
        readonly matcherRegex: string
        readonly datasourceUid: string
        readonly url: string
      }[]
      readonly tracesToLogsV2?: {
        readonly datasourceUid: string
        readonly customQuery: boolean
        readonly query: string
      }
    }
  }
  const { datasources } = parse(readFileSync(join(root, 'deploy/grafana/datasources.yaml'), 'utf8')) as {
    readonly datasources: readonly Source[]
  }
  const uidOf = (type: string): string => datasources.find((of) => of.type === type)!.uid
  const [field] = datasources.find(({ type }) => type === 'loki')!.jsonData!.derivedFields!
  const id = '0af7651916cd43dd8448eb211c80319c'
  const line = JSON.stringify({
    level: 30,
    service: 'job-manager',
    trace_id: id,
    span_id: 'b7ad6b7169203331',
    msg: 'published',
  })
  expect(new RegExp(field!.matcherRegex).exec(line)![1]).toBe(id)
  // Two dollars: Grafana reads one as a variable of its environment.
  expect(field).toMatchObject({ datasourceUid: uidOf('tempo'), url: '$${__value.raw}' })
  const { tracesToLogsV2 } = datasources.find(({ type }) => type === 'tempo')!.jsonData!
  expect(tracesToLogsV2).toMatchObject({ datasourceUid: uidOf('loki'), customQuery: true })
  expect(tracesToLogsV2!.query).toContain('$${__trace.traceId}')
})
