/** Dashboards show what there is, and the chart has them as they are written here. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { dashboards, text } from './dashboards/index.ts'
import { queries } from './dashboards/queries.ts'
import { knownMetrics, metricsOf } from './known-metrics.ts'

const folder = join(new URL('../../', import.meta.url).pathname, 'deploy/helm/weir/dashboards')

test('the chart has each dashboard as its code makes it; `npm run generate:dashboards` writes them', () => {
  expect(readdirSync(folder).sort()).toEqual([...dashboards.keys()].map((name) => `${name}.json`).sort())
  for (const [name, dashboard] of dashboards)
    expect(readFileSync(join(folder, `${name}.json`), 'utf8'), name).toBe(text(dashboard))
})

test('every query speaks of metrics that a process has, and of no others', async () => {
  const known = await knownMetrics()
  const all = [...dashboards.values()].flatMap(queries)
  expect(all.length).toBeGreaterThan(40)
  for (const { panel, expr } of all) {
    const named = metricsOf(expr)
    expect(named.length, `${panel}: ${expr}`).toBeGreaterThan(0)
    expect(
      named.filter((name) => !known.has(name)),
      `${panel}: ${expr}`,
    ).toEqual([])
  }
})

test('every panel of figures says what it tells, and no two have one name', () => {
  for (const [name, { panels }] of dashboards) {
    const titles = (panels ?? []).flatMap((panel) => (panel.type === 'row' ? [] : [panel.title]))
    expect(new Set(titles).size, name).toBe(titles.length)
    for (const panel of panels ?? [])
      if (panel.type !== 'row') expect('description' in panel && panel.description, panel.title).toBeTruthy()
  }
})
