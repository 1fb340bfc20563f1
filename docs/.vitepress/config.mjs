import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const runbooks = readdirSync(fileURLToPath(new URL('../runbooks', import.meta.url)))
  .filter((name) => name.endsWith('.md'))
  .map((name) => name.slice(0, -3))
const page = (text, link) => ({ text, link })

export default defineConfig({
  title: 'Weir',
  description: 'Exactly-once stream processing for TypeScript teams',
  // Sources and READMEs lie outside of the site; tools/docs/check.mjs looks whether they are there.
  ignoreDeadLinks: [
    /\.\.\/(\.\.\/)?(apps|libs|proto|deploy|test|tools|README|ARCHITECTURE|CONTRIBUTING|CHANGELOG)/,
    /^https?:\/\/(127\.0\.0\.1|localhost)/,
    // The folder of runbooks, which the sidebar lists.
    /^\.\/runbooks$/,
  ],
  lastUpdated: false,
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      page('Guide', '/guide/getting-started'),
      page('Reference', '/reference/sdk/'),
      page('Runbooks', '/runbooks/WeirJobDown'),
    ],
    sidebar: [
      {
        text: 'Guide',
        items: [
          page('Getting started', '/guide/getting-started'),
          page('Concepts', '/guide/concepts'),
          page('Pipelines in YAML', '/guide/pipelines'),
          page('Auditing', '/guide/auditing'),
          page('The first ten minutes', '/FIRST-TEN-MINUTES'),
          page('One record again', '/guide/debugging'),
          page('Beside Flink and Kafka Streams', '/guide/comparison'),
        ],
      },
      {
        text: 'Operation',
        items: [
          page('Security', '/SECURITY'),
          page('Telemetry', '/TELEMETRY'),
          page('REST', '/REST'),
          page('Canary', '/CANARY'),
          page('gRPC', '/GRPC'),
          page('Claims', '/CLAIM-TIERS'),
          page('Transaction ids', '/TRANSACTION-IDS'),
          page('Reliability', '/RELIABILITY'),
          page('Performance', '/PERFORMANCE'),
        ],
      },
      {
        text: 'Reference',
        items: [
          page('SDK', '/reference/sdk/'),
          page('Pipelines', '/reference/pipelines'),
          page('Command line', '/CLI'),
          page('REST', '/reference/rest'),
          page('gRPC', '/reference/grpc'),
          page('Metrics', '/reference/metrics'),
        ],
      },
      { text: 'Runbooks', collapsed: true, items: runbooks.map((name) => page(name, `/runbooks/${name}`)) },
    ],
  },
})
