import type { MultipartUpload, ObjectStore } from '@weir/checkpoint'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { PatientUpload } from './patient-upload.ts'

const MIB = 1024 * 1024
const away = (): WeirError => new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'away')
const patience = { clock: systemClock, signal: new AbortController().signal, budgetMs: 5_000 }

/** Counts what is in flight; every first try of a part fails. */
class Parts implements Partial<ObjectStore> {
  readonly stored = new Map<string, Buffer>()
  readonly tried = new Set<number>()
  readonly log: string[] = []
  inFlight = 0
  inFlightMax = 0
  refuse: WeirError | null = null
  put = (key: string, bytes: Uint8Array) => {
    this.log.push(`put ${bytes.length}`)
    this.stored.set(key, Buffer.from(bytes))
    return Promise.resolve({ kind: 'stored' as const, etag: '' })
  }
  multipart = (key: string): Promise<MultipartUpload> => {
    const parts = new Map<number, Buffer>()
    return Promise.resolve({
      part: async (number, bytes) => {
        this.inFlightMax = Math.max(this.inFlightMax, ++this.inFlight)
        await new Promise(setImmediate)
        this.inFlight--
        if (this.refuse) throw this.refuse
        if (!this.tried.has(number)) {
          this.tried.add(number)
          throw away()
        }
        parts.set(number, Buffer.from(bytes))
      },
      complete: () => {
        this.log.push(`complete ${[...parts.keys()].sort((a, b) => a - b).join()}`)
        this.stored.set(key, Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes)))
        return Promise.resolve()
      },
      abort: () => Promise.resolve(void this.log.push('abort')),
    })
  }
}
const upload = (parts: Parts): PatientUpload => new PatientUpload(parts as unknown as ObjectStore, 'k', patience)

test('what fits one part is one put', async () => {
  const parts = new Parts()
  const u = upload(parts)
  await u.write(Buffer.from('a'))
  await u.write(Buffer.from('b'))
  await u.finish()
  expect(parts.log).toEqual(['put 2'])
  expect(parts.stored.get('k')).toEqual(Buffer.from('ab'))
})

test('more goes in parts, three side by side at most, each sent again through an outage, and arrives in order', async () => {
  const parts = new Parts()
  const u = upload(parts)
  const chunks = Array.from({ length: 43 }, (_, i) => Buffer.alloc(MIB, i))
  for (const chunk of chunks) await u.write(chunk)
  await u.finish()
  expect(parts.log).toEqual(['complete 1,2,3,4,5,6'])
  expect(parts.inFlightMax).toBe(3)
  expect(parts.stored.get('k')!.equals(Buffer.concat(chunks))).toBe(true)
})

test('a refused part ends it: the next write or the finish says so, and abort leaves nothing', async () => {
  const parts = new Parts()
  parts.refuse = new WeirError({ code: 'OBJECT_STORE_REFUSED', kind: 'invalid' }, 'no')
  const u = upload(parts)
  for (let i = 0; i < 8; i++) await u.write(Buffer.alloc(MIB))
  await expect(u.finish()).rejects.toMatchObject({ code: 'OBJECT_STORE_REFUSED' })
  await u.abort()
  expect(parts.log).toEqual(['abort'])
  expect(parts.stored.size).toBe(0)
})
