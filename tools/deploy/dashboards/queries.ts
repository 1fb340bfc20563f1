/** The queries of a dashboard, and what they are while nobody has chosen anything. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'

export interface PanelQuery {
  readonly panel: string
  readonly expr: string
}

export function queries(dashboard: Dashboard): readonly PanelQuery[] {
  return (dashboard.panels ?? []).flatMap((panel) =>
    panel.type === 'row' || !('targets' in panel)
      ? []
      : (panel.targets ?? []).map((target) => ({
          panel: `${dashboard.title}: ${panel.title}`,
          expr: (target as unknown as { readonly expr: string }).expr,
        })),
  )
}

/** With all jobs chosen, as Prometheus gets it. */
export const resolved = (expr: string): string => expr.replaceAll('$__rate_interval', '1m').replaceAll('$job', '.+')
