/** A job bundle by digest: fetched once per process and data folder, verified, imported, planned. */
import type { ObjectStore } from '@weir/checkpoint'
import { planJob, type JobDefinition, type Plan } from '@weir/dataflow'
import { bundleKey, requireSignature, sha256, signatureKey, type TrustedKeys } from '@weir/metadata'
import { WeirError, digest } from '@weir/model'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { threadId } from 'node:worker_threads'
import { unwritable } from './data-dir.ts'

/**
 * Throws WeirError (invalid): `BUNDLE_MISSING`, `BUNDLE_CORRUPT`, `BUNDLE_THROWS` (the job file threw while loading),
 * `BUNDLE_UNSIGNED`, `BUNDLE_SIGNATURE_REFUSED`, `BUNDLE_NO_JOB`, `GRAPH_HASH_MISMATCH`, and what the planner refuses; and
 * `DATA_DIR_UNWRITABLE` (restart).
 */
export async function loadPlan(
  objects: ObjectStore,
  dataDir: string,
  bundleDigest: string,
  graphHash: string,
  trusted: TrustedKeys | null,
): Promise<Plan> {
  await requireTrusted(objects, bundleDigest, trusted)
  const file = await bundleFile(objects, dataDir, bundleDigest)
  let exported: unknown
  try {
    exported = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default
  } catch (cause) {
    throw new WeirError(
      { code: 'BUNDLE_THROWS', kind: 'invalid', bundleDigest },
      `the job file threw while it was loaded: ${(cause as Error).stack?.split('\n').slice(0, 3).join(' ') ?? String(cause)}`,
      { cause },
    )
  }
  const definition = exported as Partial<JobDefinition> | undefined
  if (definition?.kind !== 'weir.job' || definition.version !== 1) {
    throw new WeirError(
      { code: 'BUNDLE_NO_JOB', kind: 'invalid', bundleDigest },
      'the bundle has no job as its default export: write `export default job(name, settings, build)`',
    )
  }
  const plan = planJob(definition as JobDefinition)
  const found = sha256(Buffer.from(plan.canonical))
  if (found !== graphHash) {
    throw new WeirError(
      { code: 'GRAPH_HASH_MISMATCH', kind: 'invalid', expected: graphHash, found },
      `the job planned here has graph hash ${found}, submitted was ${graphHash}: the job file depends on the machine it ` +
        'runs on (time, randomness, environment), or client and fleet run different versions. Use params() for what ' +
        'differs between runs.',
    )
  }
  return plan
}

/** The job-manager has looked already; who can write to the object store, or is another job-manager, is not believed for that. */
async function requireTrusted(objects: ObjectStore, of: string, trusted: TrustedKeys | null): Promise<void> {
  if (trusted === null) return
  const signature = await objects.get(signatureKey(digest(of)))
  requireSignature(digest(of), signature && Buffer.from(signature.bytes).toString(), trusted)
}

async function bundleFile(objects: ObjectStore, dataDir: string, bundleDigest: string): Promise<string> {
  const dir = resolve(dataDir, 'bundles')
  const file = join(dir, `${bundleDigest}.mjs`)
  const there = await readFile(file).catch(() => null)
  if (there !== null && sha256(there) === bundleDigest) return file
  const object = await objects.get(bundleKey(digest(bundleDigest)))
  if (object === null) {
    throw new WeirError(
      { code: 'BUNDLE_MISSING', kind: 'invalid', bundleDigest },
      `bundle ${bundleDigest} is not in the object store: submit the job again`,
    )
  }
  if (sha256(object.bytes) !== bundleDigest) {
    throw new WeirError(
      { code: 'BUNDLE_CORRUPT', kind: 'invalid', bundleDigest },
      `bundle ${bundleDigest} in the object store has other bytes than were submitted: submit the job again`,
    )
  }
  const part = `${file}.${process.pid}.${threadId}.part`
  try {
    await mkdir(dir, { recursive: true })
    await writeFile(part, object.bytes)
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined)
    throw unwritable(dataDir, error)
  }
  return file
}
