/** The rules for what is installed bite, and the lock file of this repository keeps them. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { brokenIn, rules, unused, vulnerable, type Lock, type LockedPackage } from './lockfile.mjs'

const root = new URL('../../', import.meta.url)
const read = (file: string): unknown => JSON.parse(readFileSync(new URL(file, root), 'utf8'))
const lock = read('package-lock.json') as Lock

const sound: LockedPackage = { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==`, license: 'MIT' }
const lockOf = (of: LockedPackage, path = 'node_modules/leftpad'): Lock => ({
  packages: { '': {}, 'libs/model': { version: '0.1.0' }, 'node_modules/@weir/model': { link: true }, [path]: of },
})

test('what is installed keeps every rule, and no exception is there for nothing', () => {
  expect(brokenIn(lock)).toEqual([])
  expect(unused(lock)).toEqual([])
})

test('a sound package passes', () => {
  expect(brokenIn(lockOf(sound))).toEqual([])
  expect(brokenIn(lockOf({ ...sound, hasInstallScript: true }, 'node_modules/vite/node_modules/esbuild'))).toEqual([])
})

const breaking: readonly [rule: string, over: LockedPackage][] = [
  ['its bytes are pinned', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }],
  ['its bytes are pinned', { integrity: '' }],
  ['it is of the registry', { resolved: 'git+ssh://git@github.com/example/leftpad.git#abc' }],
  ['it is of the registry', { resolved: 'https://example.com/leftpad.tgz' }],
  ['nothing runs when it is installed', { hasInstallScript: true }],
  ['its licence is known', { license: 'AGPL-3.0' }],
]
test.each(breaking)('%s: broken by %#', (rule, over) => {
  expect(brokenIn(lockOf({ ...sound, ...over }))).toEqual([expect.stringMatching(`${rule}: leftpad@1.0.0 `)])
})

test('no rule is without a package that breaks it', () => {
  expect(new Set(breaking.map(([rule]) => rule))).toEqual(new Set(Object.keys(rules)))
  const { license: _, ...nameless } = sound
  expect(brokenIn(lockOf(nameless))).toHaveLength(1)
})

test('a package that sends how it is used is told not to', () => {
  expect(read('package.json')).toMatchObject({ scarfSettings: { enabled: false } })
})

test('what npm audit says counts from high on; a registry that cannot be asked says nothing', () => {
  const of = (severity: string): object => ({ name: severity, severity, range: '<2' })
  const vulnerabilities = { a: of('low'), b: of('high'), c: of('critical') }
  expect(vulnerable({ vulnerabilities })).toEqual(['high <2: high', 'critical <2: critical'])
  expect(vulnerable({ message: '405 Method Not Allowed', method: 'POST' })).toBeNull()
})
