/** Which object store a process uses, from its environment. */
import type { ObjectStore } from '@weir/checkpoint'
import { WeirError, secretSetting } from '@weir/model'
import { FolderObjectStore } from './folder-objects.ts'
import { S3ObjectStore, S3_CONNECTIONS } from './s3-objects.ts'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Env = Readonly<Record<string, string | undefined>>

/** `WEIR_OBJECTS_DIR` (embedded) or S3. Throws `CONFIG_INVALID` (invalid) naming the variable. */
export function openObjectStore(env: Env): ObjectStore {
  const folder = env['WEIR_OBJECTS_DIR']
  return folder ? new FolderObjectStore(folder) : openS3(env)
}

/**
 * A folder of another store, with the credentials and the endpoint of this one: `s3://bucket/folder/`, `file:///folder/`.
 * Throws `URL_INVALID` (invalid).
 */
export function openElsewhere(url: string, env: Env): ObjectStore {
  const [, bucket, folder] = /^s3:\/\/([^/]+)\/(.*)$/.exec(url) ?? []
  if (bucket !== undefined) return openS3({ ...env, WEIR_S3_BUCKET: bucket, WEIR_S3_PREFIX: folder })
  const path = url.startsWith('file:///') ? pathIn(url) : ''
  if (path !== '') return new FolderObjectStore(path)
  throw new WeirError(
    { code: 'URL_INVALID', kind: 'invalid', url },
    `${url} names no folder: give s3://BUCKET/FOLDER/ (at this cluster's endpoint) or file:///FOLDER/ (which the processes that use it must see)`,
  )
}

/** Empty: no file can be called so. */
function pathIn(url: string): string {
  try {
    const path = fileURLToPath(url).replace(/\/$/, '')
    return path.includes('\0') ? '' : path
  } catch {
    return ''
  }
}

/** Keys may be `file:/path`. Throws `CONFIG_INVALID`, `SECRET_MISSING` (invalid). */
export function openS3(env: Env): S3ObjectStore {
  const bucket = env['WEIR_S3_BUCKET']
  if (!bucket) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_S3_BUCKET' },
      'WEIR_S3_BUCKET is not set: name the bucket for snapshots and metadata (and WEIR_S3_ENDPOINT when it is not AWS)',
    )
  }
  // Read at each opening: a slot that starts has what has been replaced meanwhile.
  const secret = (name: string): string | null =>
    secretSetting(name, { env, read: (path) => readFileSync(path, 'utf8') })
  const [accessKeyId, secretAccessKey] = [secret('WEIR_S3_ACCESS_KEY'), secret('WEIR_S3_SECRET_KEY')]
  return new S3ObjectStore({
    endpoint: env['WEIR_S3_ENDPOINT'] || null,
    region: env['WEIR_S3_REGION'] ?? 'us-east-1',
    bucket,
    prefix: env['WEIR_S3_PREFIX'] ?? '',
    credentials: accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey } : null,
    connectionsMax: s3Connections(env),
  })
}

const S3_CONNECTIONS_BOUND = 1_000

function s3Connections(env: Env): number {
  const got = env['WEIR_S3_CONNECTIONS']
  const connections = Number(got || S3_CONNECTIONS)
  if (Number.isInteger(connections) && connections >= 1 && connections <= S3_CONNECTIONS_BOUND) return connections
  throw new WeirError(
    { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_S3_CONNECTIONS', got },
    `WEIR_S3_CONNECTIONS=${got}: give a whole number from 1 to ${S3_CONNECTIONS_BOUND}, connections of each thread`,
  )
}
