/** What documents say of codes, variables and metrics is there in the code, and the other way round. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes, errorsPage, metricNames, sources } from './errors.mjs'

const root = join(import.meta.dirname, '../..')
const pages = [
  ...[
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'deploy/helm/weir/README.md',
    'apps/create-weir/template/README.md',
  ],
  ...readdirSync(join(root, 'docs'), { recursive: true })
    .map((name) => join('docs', String(name)))
    .filter((name) => name.endsWith('.md') && !/^docs\/(reference|\.vitepress)\//.test(name)),
  ...readdirSync(join(root, 'libs')).map((name) => `libs/${name}/README.md`),
].map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
const code = sources()
  .map(({ text }) => text)
  .join('\n')
const codes = errorCodes()
const inDocs = (what: RegExp): string[] =>
  pages.flatMap(({ file, text }) => [...text.matchAll(what)].map((found) => `${file}: ${found[1]}`))
const missing = (said: readonly string[], there: (name: string) => boolean): string[] =>
  said.filter((one) => !there(one.split(': ')[1]!))

test('every code that a document names is one', () => {
  const said = inDocs(/`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`/g).filter((one) => !/: (WEIR|OTEL|NEXMARK)_/.test(one))
  expect(said.length).toBeGreaterThan(40)
  expect(missing(said, (name) => codes.has(name))).toEqual([])
})

test('every code is in the reference, with what to do where its error is made', () => {
  const page = errorsPage((text) => text, codes)
  const names = [...codes.keys()]
  expect(names.length).toBeGreaterThan(400)
  expect(names.filter((name) => !page.includes(`\n### ${name}\n`))).toEqual([])
  // Made in ways of their own: objects, tables, calls.
  for (const name of [
    'JOB_UNKNOWN',
    'DTXID_DRIFT',
    'KAFKA_RETENTION',
    'INPUT_TWICE',
    'CLAIMS_LOST',
    'PATH_UNKNOWN',
    'INTERNAL',
  ])
    expect(names).toContain(name)
  expect(names).not.toContain('LEADER_NOT_AVAILABLE')
})

test.each([
  ['GRAPH_CYCLE', ['invalid'], 'leads back to'], // by a function that is imported
  ['RATE_INVALID', ['invalid'], 'minRecordsPerSecond'], // a constant
  ['REGISTRY_SETTINGS_INVALID', ['invalid'], 'registry'], // what the function around it is called with
  ['DEPLOY_TIMED_OUT', ['restart'], 'did not answer within'], // a parameter in an object
  ['STATE_VALUE_UNDEFINED', ['invalid'], 'state holds plain data'], // chosen first
  ['DTXID_EXHAUSTED', [], '68-bit form'], // a table of words
  ['TABLE_MISSING', ['invalid'], 'Create the schema'], // a table of remedies
  ['RESCALE_REVERTED', ['alert', 'retry'], ''],
  ['KAFKA_REPLICATION', ['unsafe', 'warning'], 'on one broker alone'], // a diagnosis, made elsewhere
  ['OUTPUT_MISSING', ['finding'], ''],
  ['PATH_UNKNOWN', ['invalid'], null], // by status
  ['SLICE_FAILED', ['restart'], null], // whatever was thrown
])('%s is told with its kind and its words, however its error is made', (name, kinds, words) => {
  const said = codes.get(name)!
  expect([...said.kinds].toSorted()).toEqual(kinds)
  if (words === null) expect(said.texts.size).toBe(0)
  else expect([...said.texts].join('\n')).toContain(words)
})

test('of two codes nothing is told: they take the place of another one, whose words they keep', () => {
  const silent = [...codes].filter(([, { kinds, texts }]) => kinds.size + texts.size === 0)
  expect(silent.map(([name]) => name)).toEqual(['CLAIMS_CLOSED', 'RECORDS_REFUSED'])
})

test('every variable that a document names is read, and every one that is read is named', () => {
  const named = new Set(inDocs(/\b(WEIR_[A-Z0-9_]*[A-Z0-9])\b/g).map((one) => one.split(': ')[1]!))
  // `WEIR_S3_ENDPOINT`, `_BUCKET`: a row of variables with one beginning.
  for (const { text } of pages)
    for (const [, first = '', more = ''] of text.matchAll(/`(WEIR_[A-Z0-9_]+)`((?:, `_[A-Z0-9_]+`)+)/g))
      for (const [, end] of more.matchAll(/`(_[A-Z0-9_]+)`/g))
        for (let at = first.lastIndexOf('_'); at > 0; at = first.lastIndexOf('_', at - 1))
          named.add(first.slice(0, at) + end)
  const read = new Set([...code.matchAll(/['"`.](WEIR_[A-Z0-9_]*[A-Z0-9])\b/g)].map(([, name]) => name!))
  const INTERNAL = ['WEIR_FREEZE', 'WEIR_PROVE_CRASH']
  expect([...read].filter((name) => !named.has(name) && !INTERNAL.includes(name))).toEqual([])
  expect(missing(inDocs(/`(WEIR_[A-Z0-9_]*[A-Z0-9])`/g), (name) => read.has(name))).toEqual([])
})

test('every metric that a document names is made', () => {
  const made = metricNames()
  const said = inDocs(/`(weir_[a-z0-9_]*[a-z0-9])(?:\{[^`]*)?`/g)
  expect(said.length).toBeGreaterThan(20)
  const isMade = (name: string): boolean =>
    made.has(name) || made.has(name.replace(/_(total|seconds|bucket|sum|count)$/, ''))
  expect(missing(said, isMade)).toEqual([])
})
