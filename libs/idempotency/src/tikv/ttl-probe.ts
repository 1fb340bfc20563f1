/** A server without TTL says so only when it is asked to keep something for a time: better at the start than at the first claim. */
import { WeirError } from '@weir/model'
import type { RawKv } from './raw-kv.ts'

const PROBE_SECONDS = 60

/** Throws `TIKV_TTL_DISABLED` (invalid), or why the cluster could not be asked. */
export async function probeTtl(kv: RawKv, key: Buffer, signal: AbortSignal): Promise<void> {
  try {
    await kv.put(key, Buffer.from('probe'), PROBE_SECONDS, signal)
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== 'TIKV_REFUSED') throw error
    if (/ttl is not enabled/i.test(error.message)) throw disabled(error)
    throw new WeirError(
      { code: 'TIKV_REFUSED', kind: 'invalid' },
      `${error.message}. Is apiVersion what the servers run (storage.api-version, storage.enable-ttl)?`,
      { cause: error },
    )
  }
  const left = await kv.ttl(key, signal)
  if (left === 0) throw disabled(new Error('the probe is kept for ever'))
  await kv.delete(key, signal)
}

const disabled = (cause: Error): WeirError =>
  new WeirError(
    { code: 'TIKV_TTL_DISABLED', kind: 'invalid' },
    'this TiKV keeps values for ever, claims need a time to live: set storage.api-version = 2, or storage.enable-ttl = true on a cluster ' +
      'for RawKV only (both for new clusters: they cannot be changed later)',
    { cause },
  )
