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
