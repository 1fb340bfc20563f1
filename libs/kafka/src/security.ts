/** How brokers are spoken to: encrypted or not, and as whom. From the environment of a process; secrets may be files. */
import { WeirError, secretSetting } from '@weir/model'
import type { SASLOptions } from 'kafkajs'
import { readFileSync } from 'node:fs'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import net from 'node:net'

export interface KafkaSecurity {
  /** Null: in the clear. */
  readonly tls: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'> | null
  /** Null: nobody in particular, or whom the certificate names. */
  readonly sasl: { readonly mechanism: SaslMechanism; readonly username: string; readonly password: string } | null
}
export type SaslMechanism = (typeof MECHANISMS)[number]

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
const FILES = { ca: 'WEIR_KAFKA_TLS_CA', cert: 'WEIR_KAFKA_TLS_CERT', key: 'WEIR_KAFKA_TLS_KEY' } as const

export const IN_THE_CLEAR: KafkaSecurity = { tls: null, sasl: null }

/**
 * `WEIR_KAFKA_TLS` (`on`: with the authorities of the system) or its files, `WEIR_KAFKA_SASL` (mechanism) with
 * `WEIR_KAFKA_USERNAME` and `WEIR_KAFKA_PASSWORD`. Throws `CONFIG_INVALID` (invalid) naming the variable, `SECRET_MISSING`.
 */
export function kafkaSecurity(env: Readonly<Record<string, string | undefined>>): KafkaSecurity {
  const sources = { env, read: (path: string) => readFileSync(path, 'utf8') }
  const tls = tlsOf(env)
  const mechanism = env['WEIR_KAFKA_SASL'] || null
  if (mechanism === null) return { tls, sasl: null }
  if (!isMechanism(mechanism))
    throw invalid('WEIR_KAFKA_SASL', `WEIR_KAFKA_SASL=${mechanism}: give ${MECHANISMS.join(', ')}`)
  if (mechanism === 'plain' && tls === null) {
    throw invalid(
      'WEIR_KAFKA_TLS',
      'WEIR_KAFKA_SASL=plain sends the password as it is: set WEIR_KAFKA_TLS=on (or WEIR_KAFKA_TLS_CA), or use scram-sha-512',
    )
  }
  const needed = (name: string): string => {
    const value = secretSetting(name, sources)
    if (value === null) throw invalid(name, `${name} is not set: WEIR_KAFKA_SASL=${mechanism} needs it`)
    return value
  }
  return { tls, sasl: { mechanism, username: needed('WEIR_KAFKA_USERNAME'), password: needed('WEIR_KAFKA_PASSWORD') } }
}

function tlsOf(env: Readonly<Record<string, string | undefined>>): KafkaSecurity['tls'] {
  const wish = env['WEIR_KAFKA_TLS'] ?? ''
  if (wish !== '' && wish !== 'on' && wish !== 'off')
    throw invalid('WEIR_KAFKA_TLS', `WEIR_KAFKA_TLS=${wish}: give on, or off`)
  const given = Object.entries(FILES).filter(([, name]) => env[name])
  if (wish === 'off' || (wish === '' && given.length === 0)) return null
  if (Boolean(env[FILES.cert]) !== Boolean(env[FILES.key])) {
    throw invalid(FILES.key, `${FILES.cert} and ${FILES.key} go together: give both, or neither`)
  }
  const file = (name: string): Buffer => {
    try {
      return readFileSync(env[name]!)
    } catch (cause) {
      throw invalid(name, `${name}=${env[name]} cannot be read: ${(cause as Error).message}`)
    }
  }
  return Object.fromEntries(given.map(([option, name]) => [option, file(name)]))
}

const isMechanism = (text: string): text is SaslMechanism => (MECHANISMS as readonly string[]).includes(text)
const invalid = (variable: string, message: string): WeirError =>
  new WeirError({ code: 'CONFIG_INVALID', kind: 'invalid', variable }, message)

/** As kafkajs takes it: anew each time, since it keeps its authenticator in there. */
export const forKafkajs = ({ tls, sasl }: KafkaSecurity): { ssl?: ConnectionOptions; sasl?: SASLOptions } => ({
  ...(tls !== null && { ssl: { ...tls } }),
  ...(sasl !== null && { sasl: { ...sasl } as SASLOptions }),
})

interface SocketWish {
  readonly host: string
  readonly port: number
  /** Null or absent: in the clear. */
  readonly ssl?: ConnectionOptions | null
  readonly onConnect: () => void
}
const KEEP_ALIVE_MS = 10_000

export function openSocket({ host, port, ssl = null, onConnect }: SocketWish): net.Socket | TLSSocket {
  const name = net.isIP(host) ? {} : { servername: host }
  const socket =
    ssl === null ? net.connect({ host, port }, onConnect) : connect({ host, port, ...name, ...ssl }, onConnect)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  socket.setNoDelay(true)
  return socket
}
