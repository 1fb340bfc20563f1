/** The job that is debugged: built from its file, with source maps, or the bundle that was submitted. Each load is a module of its own. */
import type { Manifest, ObjectStore } from '@weir/checkpoint'
import { planJob, type JobDefinition } from '@weir/dataflow'
import { bundleKey, requireSignature, sha256, signatureKey, trustedKeys } from '@weir/metadata'
import { WeirError, digest } from '@weir/model'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleJob, importJob, mappedBundle } from '../bundle.ts'

export interface JobUnderDebug {
  readonly digest: string
  /** A fresh instance: what its module remembers is its own. */
  load(): Promise<JobDefinition>
  close(): Promise<void>
}

/** @param params of the job file */
export async function jobOfFile(file: string, params: Readonly<Record<string, string>>): Promise<JobUnderDebug> {
  const { digest: of } = await bundleJob(file, params)
  return inFolder(of, (path) => mappedBundle(file, params, path))
}

/** Throws `BUNDLE_MISSING`, `BUNDLE_CORRUPT`, `BUNDLE_UNSIGNED`, `BUNDLE_SIGNATURE_REFUSED` (invalid). */
export async function jobOfBundle(objects: ObjectStore, of: string, env: NodeJS.ProcessEnv): Promise<JobUnderDebug> {
  const key = digest(of)
  const trusted = trustedKeys(env['WEIR_BUNDLE_KEYS'])
  if (trusted !== null) {
    const signature = await objects.get(signatureKey(key))
    requireSignature(key, signature && Buffer.from(signature.bytes).toString(), trusted)
  }
  const stored = await objects.get(bundleKey(key))
  const why = stored === null ? 'is not in the object store' : 'has other bytes than were submitted'
  if (stored === null || sha256(stored.bytes) !== of) {
    throw new WeirError(
      { code: stored === null ? 'BUNDLE_MISSING' : 'BUNDLE_CORRUPT', kind: 'invalid', bundleDigest: of },
      `bundle ${of} ${why}: give the job's file with --job JOB.ts`,
    )
  }
  return inFolder(of, () => Promise.resolve(stored.bytes))
}

/** What it is built of may have changed; its state, and the names it is found by, must not have. Throws `DEBUG_OTHER_GRAPH` (invalid). */
export function mustBeOf({ graphHash, jobId, epoch }: Manifest, job: JobDefinition): void {
  const found = sha256(Buffer.from(planJob(job).canonical))
  if (found === graphHash) return
  throw new WeirError(
    { code: 'DEBUG_OTHER_GRAPH', kind: 'invalid', jobId, epoch, expected: graphHash, found },
    `the job has graph ${found.slice(0, 12)}, and checkpoint ${epoch} of "${jobId}" is of graph ${graphHash.slice(0, 12)}: operators, settings or ` +
      'parameters differ. Give the file as it was submitted, with the same --set; leave --job out for the submitted bundle. What is inside of ' +
      'its functions may have changed.',
  )
}

async function inFolder(of: string, bytesFor: (path: string) => Promise<Uint8Array>): Promise<JobUnderDebug> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-debug-'))
  let loads = 0
  return {
    digest: of,
    load: async () => {
      const path = join(dir, `job-${++loads}.mjs`)
      await writeFile(path, await bytesFor(path))
      return importJob(path)
    },
    close: () => rm(dir, { recursive: true, force: true }),
  }
}
