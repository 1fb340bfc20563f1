/** Where a process listens and what it shows to others, from its environment. */
import { WeirError, secretSetting } from '@weir/model'
import { readFileSync } from 'node:fs'
import { tlsSettings, type TlsSettings } from './tls/settings.ts'

export interface ListenSettings {
  readonly host: string
  /** 0: any free port. */
  readonly grpcPort: number
  readonly httpPort: number
  /** What others are told instead of `host`. */
  readonly advertiseHost: string
  readonly token: string | null
  /** Null: gRPC is not encrypted. */
  readonly tls: TlsSettings | null
}

type Env = Readonly<Record<string, string | undefined>>

/** zstd in `node:zlib` came with it. */
const NODE_MIN = [22, 15] as const

/** Throws `NODE_TOO_OLD` (invalid). */
export function requireNode(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return
  throw new WeirError(
    { code: 'NODE_TOO_OLD', kind: 'invalid', version, needed: NODE_MIN.join('.') },
    `this is Node ${version}; Weir needs ${NODE_MIN.join('.')} or newer. In a clone, npm has installed one: ` +
      'node_modules/.bin/node',
  )
}

/** Throws `CONFIG_INVALID` (invalid) naming the variable, `SECRET_MISSING` (invalid); beyond loopback a token is required. */
export function listenSettings(env: Env): ListenSettings {
  requireNode(process.versions.node)
  const host = env['WEIR_HOST'] ?? '127.0.0.1'
  const token = secretSetting('WEIR_FLEET_TOKEN', { env, read: (path) => readFileSync(path, 'utf8') })
  if (!/^(127(\.\d+){3}|localhost|\[?::1\]?)$/.test(host) && token === null) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_FLEET_TOKEN', host },
      `WEIR_HOST=${host} is reachable from other machines: set WEIR_FLEET_TOKEN to one secret in every process, or ` +
        'listen on 127.0.0.1',
    )
  }
  const advertiseHost = env['WEIR_ADVERTISE_HOST'] || host
  const ports = { grpcPort: port(env, 'WEIR_GRPC_PORT'), httpPort: port(env, 'WEIR_HTTP_PORT') }
  return { host, ...ports, advertiseHost, token, tls: tlsSettings(env) }
}

function port(env: Env, variable: string): number {
  const text = env[variable] ?? '0'
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  throw new WeirError(
    { code: 'CONFIG_INVALID', kind: 'invalid', variable, got: text },
    `${variable}=${text} is not a port: give 1 … 65535, or 0 for any free one`,
  )
}
