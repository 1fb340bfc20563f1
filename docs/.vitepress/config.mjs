import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const runbooks = readdirSync(fileURLToPath(new URL('../runbooks', import.meta.url)))
  .filter((name) => name.endsWith('.md'))
  .map((name) => name.slice(0, -3))
const page = (text, link) => ({ text, link })

/** Sources and READMEs (tools/docs/check.mjs looks whether they are there), and the folder of runbooks, which the sidebar lists. */
const OUTSIDE = [
  /^(\.\.\/)+(apps|libs|proto|deploy|test|tools|README|ARCHITECTURE|CONTRIBUTING|CHANGELOG)/,
  /^(\.\/)?runbooks$/,
]
/** What lies outside of the site is named, and no link to nowhere. */
function withoutLinksOutside({ tokens }) {
  for (const { children } of tokens) {
    let outside = false
    for (const token of children ?? []) {
      if (token.type === 'link_open') outside = OUTSIDE.some((of) => of.test(token.attrGet('href')))
      if (!outside || !/^link_(open|close)$/.test(token.type)) continue
      const isEnd = token.type === 'link_close'
      if (!isEnd) token.attrs = [['title', `in the repository: ${token.attrGet('href').replaceAll('../', '')}`]]
      token.tag = 'span'
      token.type = isEnd ? 'span_close' : 'span_open'
    }
  }
}

export default defineConfig({
  title: 'Weir',
  description: 'Exactly-once stream processing for TypeScript teams',
  ignoreDeadLinks: [/^https?:\/\/(127\.0\.0\.1|localhost)/],
  lastUpdated: false,
  markdown: { config: (md) => md.core.ruler.push('outside', withoutLinksOutside) },
  themeConfig: {
    // A code is several words to it, all of which are meant.
    search: { provider: 'local', options: { miniSearch: { searchOptions: { combineWith: 'AND' } } } },
    outline: [2, 3],
    notFound: {
      quote: 'No page has this address. The search (Ctrl K) finds pages by what is in them, error codes as well.',
      linkText: 'To the first page',
    },
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
          page('Configuration', '/CONFIGURATION'),
          page('Security', '/SECURITY'),
          page('Telemetry', '/TELEMETRY'),
          page('REST', '/REST'),
          page('Canary', '/CANARY'),
          page('Remediation', '/REMEDIATION'),
          page('gRPC', '/GRPC'),
          page('Claims', '/CLAIM-TIERS'),
          page('Transaction ids', '/TRANSACTION-IDS'),
          page('What holds, test by test', '/EVIDENCE'),
          page('Reliability', '/RELIABILITY'),
          page('Performance', '/PERFORMANCE'),
        ],
      },
      {
        text: 'Reference',
        items: [
          page('SDK', '/reference/sdk/'),
          page('SDK: tests of jobs', '/reference/sdk/testing'),
          page('Pipelines', '/reference/pipelines'),
          page('Command line', '/CLI'),
          page('REST', '/reference/rest'),
          page('gRPC', '/reference/grpc'),
          page('Metrics', '/reference/metrics'),
          page('Error codes', '/reference/errors'),
        ],
      },
      { text: 'Runbooks', collapsed: true, items: runbooks.map((name) => page(name, `/runbooks/${name}`)) },
    ],
  },
})
