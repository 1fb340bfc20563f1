/** An object copied from store to store in bounded memory, and checked on its way. */
import { createHash } from 'node:crypto'
import type { ObjectStore, StoredSegment } from '@weir/checkpoint'
import { WeirError } from '@weir/model'
import { patiently, type Patience } from './patient-put.ts'
import { PatientUpload } from './patient-upload.ts'

/** Read at once. */
const READ_BYTES = 8 * 1024 * 1024

/**
 * Harmless to repeat. Nothing is left at `to.key` that is not what `of` describes.
 * Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT` (invalid); kind `retry` when a store is away for longer than the budget.
 */
export async function copyObject(
  from: ObjectStore,
  of: StoredSegment,
  to: { readonly objects: ObjectStore; readonly key: string },
  patience: Patience,
): Promise<void> {
  const hash = createHash('sha256')
  const upload = new PatientUpload(to.objects, to.key, patience)
  try {
    for (let at = 0; at < of.bytes; at += READ_BYTES) {
      const end = Math.min(at + READ_BYTES, of.bytes)
      const bytes = await patiently(async () => await range(from, of.key, at, end), patience)
      if (bytes === null) throw damaged('SEGMENT_MISSING', of, 'is not in the object store')
      if (bytes.length !== end - at) throw damaged('SEGMENT_CORRUPT', of, `ends before its ${of.bytes} bytes`)
      hash.update(bytes)
      await upload.write(bytes)
    }
    const found = hash.digest('hex')
    if (found !== of.sha256) throw damaged('SEGMENT_CORRUPT', of, `has SHA-256 ${found}, written was ${of.sha256}`)
    await upload.finish()
  } catch (error) {
    await upload.abort()
    throw error
  }
}

/** Of a store without ranges the whole is read each time: such stores hold small objects. */
async function range(objects: ObjectStore, key: string, from: number, to: number): Promise<Uint8Array | null> {
  if (objects.readRange !== undefined) return objects.readRange(key, from, to)
  return (await objects.get(key))?.bytes.subarray(from, to) ?? null
}

const damaged = (code: string, { key }: StoredSegment, what: string): WeirError =>
  new WeirError(
    { code, kind: 'invalid', objectKey: key },
    `segment ${key} ${what}: it was changed, damaged or deleted by somebody else. Restore that object, or take another epoch or savepoint.`,
  )
