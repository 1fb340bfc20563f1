/** Processes of two versions speak while an upgrade rolls: what a released version reads and writes keeps its meaning. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = new URL('../../', import.meta.url).pathname
const released = join(root, 'proto/released')
const versions = readdirSync(released).filter((file) => file.endsWith('.binpb'))
let changed: string

beforeAll(() => {
  changed = mkdtempSync(join(tmpdir(), 'weir-wire-'))
})
afterAll(() => {
  rmSync(changed, { recursive: true })
})

/** What of the messages in a folder an older version would misread; empty: nothing. */
function breaking(folder: string, version: string): string {
  const args = ['breaking', '--path', 'weir/v1', '--against', join(released, version)]
  const { stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/buf'), args, { cwd: folder, encoding: 'utf8' })
  return stdout + stderr
}

test('there is a released version to hold to', () => {
  expect(versions).toContain('0.1.0.binpb')
})

test.each(versions)('what %s says is understood, and what is said it understands', (version) => {
  expect(breaking(join(root, 'proto'), version)).toBe('')
})

test.each([
  ['a number with another type', /string job_id = 1;/, 'int64 job_id = 1;', 'changed type'],
  ['a field that is gone, its number free again', /^ {2}string job_id = 1;$/m, '', 'deleted'],
  ['a method that is gone', /^ {2}rpc \w+\(.*$/m, '', 'deleted'],
])('%s is found', (_, what, by, said) => {
  for (const file of ['buf.yaml', 'weir']) cpSync(join(root, 'proto', file), join(changed, file), { recursive: true })
  const file = join(changed, 'weir/v1/jobs.proto')
  const text = readFileSync(file, 'utf8')
  expect(text).toMatch(what)
  writeFileSync(file, text.replace(what, by))
  expect(breaking(changed, '0.1.0.binpb')).toContain(said)
})
