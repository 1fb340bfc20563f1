/** The audit log: what it says, what a crash leaves, and that nothing changes that it cannot say. */
import { WeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { appendFile, mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Audit, type Change } from './audit.ts'
import { wishOf, type AuditEntry } from './entry.ts'
import { AuditFile } from './file.ts'

const path = async (): Promise<string> => join(await mkdtemp(join(tmpdir(), 'weir-audit-')), 'audit.ndjson')
const opened: AuditFile[] = []
afterEach(async () => {
  for (const file of opened.splice(0)) await file.close().catch(() => undefined) // a test may have closed it
})
async function open(at: string, sync: boolean): Promise<AuditFile> {
  const file = await AuditFile.open(at, sync)
  opened.push(file)
  return file
}
const log = { info: () => undefined } as never
const auditIn = (file: AuditFile | null): Audit => new Audit({ file, log, clock: systemClock, random: systemRandom })
const change = (over: Partial<Change> = {}): Change => ({
  ...{ who: { name: 'oidc:anna', role: 'operator' }, from: '10.0.0.1', what: 'job.cancel', target: 'a' },
  ...{ facts: () => ({ state: 'RUNNING' }), ...over },
})

test('a change is recorded before it is made, and how it ended before it is answered', async () => {
  const at = await path()
  const audit = auditIn(await open(at, true))
  let state = 'RUNNING'
  const answer = await audit.change(change({ wish: { why: 'test' }, facts: () => ({ state }) }), async () => {
    expect(await readFile(at, 'utf8')).toContain('"step":"asked"')
    state = 'CANCELLED'
    return 7
  })
  expect(answer).toBe(7)
  const { entries } = await audit.read(null, 10)
  const of = { what: 'job.cancel', target: 'a', who: { name: 'oidc:anna', role: 'operator', from: '10.0.0.1' } }
  expect(entries).toMatchObject([
    { ...of, step: 'done', after: { state: 'CANCELLED' } },
    { ...of, step: 'asked', before: { state: 'RUNNING' }, wish: { why: 'test' } },
  ])
  expect(new Set(entries.map(({ id }) => id)).size).toBe(1)
})

test('what is refused says why, and who may not is recorded too', async () => {
  const audit = auditIn(await open(await path(), false))
  const refusal = new WeirError({ code: 'JOB_UNKNOWN', kind: 'invalid' }, 'no such job')
  await expect(audit.change(change({ facts: () => null }), () => Promise.reject(refusal))).rejects.toBe(refusal)
  await audit.denied(change(), new WeirError({ code: 'ROLE_REFUSED', kind: 'invalid' }, 'needs admin'))
  expect((await audit.read(null, 10)).entries).toMatchObject([
    { step: 'denied', error: { code: 'ROLE_REFUSED' } },
    { step: 'refused', after: null, error: { code: 'JOB_UNKNOWN' } },
    { step: 'asked', before: null },
  ])
})

test('what cannot be recorded is not changed', async () => {
  const file = await open(await path(), true)
  await file.close()
  let made = false
  const asked = auditIn(file).change(change(), () => Promise.resolve((made = true)))
  await expect(asked).rejects.toMatchObject({ code: 'AUDIT_UNWRITABLE', kind: 'retry' })
  expect(made).toBe(false)
})

test('half a line of a process that died is passed over, and the next entry has a line of its own', async () => {
  const at = await path()
  await auditIn(await open(at, true)).change(change({ target: 'before' }), () => Promise.resolve())
  await appendFile(at, '{"id":"ha')
  const audit = auditIn(await open(at, true))
  await audit.change(change({ target: 'behind' }), () => Promise.resolve())
  const targets = (await audit.read(null, 10)).entries.map((entry) => entry.target)
  expect(targets).toEqual(['behind', 'behind', 'before', 'before'])
})

test('pages go back to the first entry, each once, also over the size of a block', async () => {
  const file = await open(await path(), false)
  const entry = (n: number): AuditEntry => ({
    ...{ id: String(n), at: n, step: 'done', who: { name: 'n', role: null, from: '' }, what: 'w' },
    target: 'ä'.repeat(n * 700),
  })
  for (let n = 0; n < 100; n++) await file.append(entry(n))
  const seen: number[] = []
  let next: number | null = null
  do {
    const page = await file.read(next, 7)
    seen.push(...page.entries.map(({ at }) => at))
    next = page.next
  } while (next !== null)
  expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => 99 - i))
})

test('a folder that cannot be written is said at the start', async () => {
  await expect(AuditFile.open(join(import.meta.filename, 'audit'), true)).rejects.toMatchObject({
    code: 'AUDIT_UNWRITABLE',
    kind: 'invalid',
  })
  expect(() => auditIn(null).read(null, 1)).toThrow(/WEIR_AUDIT_FILE/)
})

test('bytes do not come into the log, and what is large does by its digest', () => {
  expect(wishOf({ name: 'a', plan: Buffer.from('x') })).toEqual({ name: 'a' })
  expect(wishOf({ origins: ['x'.repeat(5_000)] })).toMatchObject({ sha256: expect.any(String) as string })
  expect(wishOf('all')).toEqual({ body: 'all' })
  expect(wishOf(['a'])).toEqual({ body: ['a'] })
  expect(wishOf(undefined)).toBeUndefined()
})
