/** Where a process listens and what it shows to others, from its environment. */
import { WeirError } from '@weir/model'

export interface ListenSettings {
  readonly host: string
  /** 0: any free port. */
  readonly grpcPort: number
  readonly httpPort: number
  /** What others are told instead of `host`. */
  readonly advertiseHost: string
  readonly token: string | null
}

type Env = Readonly<Record<string, string | undefined>>

/** Throws `CONFIG_INVALID` (invalid) naming the variable; beyond loopback a token is required. */
export function listenSettings(env: Env): ListenSettings {
  const host = env['WEIR_HOST'] ?? '127.0.0.1'
  const token = env['WEIR_FLEET_TOKEN'] || null
  if (!/^(127\.|localhost$|\[?::1\]?$)/.test(host) && token === null) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_FLEET_TOKEN', host },
      `WEIR_HOST=${host} is reachable from other machines: set WEIR_FLEET_TOKEN to one secret in every process, or ` +
        'listen on 127.0.0.1',
    )
  }
  const advertiseHost = env['WEIR_ADVERTISE_HOST'] || host
  return { host, grpcPort: port(env, 'WEIR_GRPC_PORT'), httpPort: port(env, 'WEIR_HTTP_PORT'), advertiseHost, token }
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
