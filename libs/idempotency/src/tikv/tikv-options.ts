/** How a TiKV cluster is reached. */
import { WeirError } from '@weir/model'
import type { TlsOptions } from './channels.ts'

export interface TikvOptions {
  /** PD members, host:port; any of them. */
  readonly pd: readonly string[]
  /** What the servers run: `storage.api-version = 2`, or `storage.enable-ttl = true` (v1ttl). Default 2. */
  readonly apiVersion?: 'v1ttl' | 2
  /** Api version 2: name of a keyspace; null, the default: the one with id 0. */
  readonly keyspace?: string | null
  readonly tls?: TlsOptions | null
  /** Longest time of one key's call with all its tries, ms; default 100. */
  readonly deadlineMs?: number
  /** Longest time of opening: PD, keyspace, probe; ms; default 5,000, or deadlineMs if that is more. */
  readonly openMs?: number
}

export const DEADLINE_MS = 100
const OPEN_MS = 5_000

export type TikvSettings = Required<TikvOptions>

/** Throws `TIKV_OPTIONS` (invalid). */
export function settingsOf(options: TikvOptions): TikvSettings {
  const { pd, apiVersion = 2, keyspace = null, tls = null, deadlineMs = DEADLINE_MS } = options
  const { openMs = Math.max(OPEN_MS, deadlineMs) } = options
  const wrong = (expected: string): never => {
    throw new WeirError({ code: 'TIKV_OPTIONS', kind: 'invalid' }, `TiKV: ${expected}`)
  }
  if (pd.length === 0) wrong('pd needs the address of at least one PD member, like "pd-0:2379"')
  for (const endpoint of pd)
    if (!/^[^\s/]+:\d{1,5}$/.test(endpoint)) wrong(`pd: "${endpoint}" is no host:port (leave "http://" out)`)
  if (apiVersion !== 2 && apiVersion !== 'v1ttl')
    wrong(`apiVersion is 2 or "v1ttl", not ${JSON.stringify(apiVersion)}: without TTL claims would be kept for ever`)
  if (keyspace !== null && apiVersion !== 2) wrong('keyspaces are of apiVersion 2')
  if (!(deadlineMs >= 5 && deadlineMs <= 10_000)) wrong(`deadlineMs is from 5 to 10,000, not ${deadlineMs}`)
  if (!(openMs >= deadlineMs)) wrong(`openMs is at least deadlineMs, ${deadlineMs}, not ${openMs}`)
  return { pd, apiVersion, keyspace, tls, deadlineMs, openMs }
}
