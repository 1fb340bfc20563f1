/** Writes the dashboards where the chart takes them from. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dashboards, text } from './index.ts'

const folder = new URL('../../../deploy/helm/weir/dashboards/', import.meta.url)
mkdirSync(folder, { recursive: true })
for (const [name, dashboard] of dashboards) writeFileSync(new URL(`${name}.json`, folder), text(dashboard))
