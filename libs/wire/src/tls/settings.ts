/** Where a process has its certificate, and whom it believes. */
import { WeirError } from '@weir/model'

/** Paths of PEM files. */
export interface TlsSettings {
  readonly certificate: string
  readonly key: string
  /** Of those who may call, and be called. */
  readonly ca: string
  /** The name that stands in every certificate of the fleet, instead of the address that is called; null: the address. */
  readonly serverName: string | null
  /** How often the files are looked at. */
  readonly reloadMs: number
}

const NAMES = ['WEIR_TLS_CERT', 'WEIR_TLS_KEY', 'WEIR_TLS_CA'] as const

/** Null: gRPC is not encrypted. Throws `CONFIG_INVALID` (invalid): all of the files or none. */
export function tlsSettings(env: Readonly<Record<string, string | undefined>>): TlsSettings | null {
  const [certificate = '', key = '', ca = ''] = NAMES.map((name) => env[name])
  if (certificate === '' && key === '' && ca === '') return null
  const missing = NAMES.find((name) => !env[name])
  if (missing !== undefined) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: missing },
      `${missing} is not set: certificate, key and the authority of the others are needed (${NAMES.join(', ')}), or none of them`,
    )
  }
  const seconds = Number(env['WEIR_TLS_RELOAD_SECONDS'] ?? '30')
  if (!(seconds >= 0.1 && seconds <= 86_400)) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_TLS_RELOAD_SECONDS' },
      `WEIR_TLS_RELOAD_SECONDS=${env['WEIR_TLS_RELOAD_SECONDS']}: give seconds, 0.1 … 86400`,
    )
  }
  return { certificate, key, ca, serverName: env['WEIR_TLS_SERVER_NAME'] || null, reloadMs: seconds * 1_000 }
}
