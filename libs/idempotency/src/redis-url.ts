/**
 * Where a Redis is, in one line, so that it can stand in one variable of the environment:
 *
 *     redis://user:password@host:6379/2                          one server; rediss:// with TLS
 *     redis+sentinel://user:password@h1:26379,h2:26379/primary   by its name at its sentinels; rediss+sentinel://
 *     redis+cluster://user:password@h1:7000,h2:7001              any of its nodes; rediss+cluster://
 */
import { WeirError } from '@weir/model'

export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly tls: boolean
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  readonly username: string | undefined
  readonly password: string | undefined
  /** Of a single server. */
  readonly db: number
  /** At the sentinels. */
  readonly primary: string | undefined
}

const URL = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]+)(?:\/([^/?]*))?$/
const PORTS = { single: 6379, sentinel: 26379, cluster: 6379 } as const

/** Throws WeirError `REDIS_URL_INVALID` (invalid), which does not repeat it: it may hold a password. */
export function redisAddress(url: string): RedisAddress {
  const [, tls, form, username, password, hostList, path = ''] = URL.exec(url) ?? []
  if (hostList === undefined) throw invalid('it is not of one of the forms')
  const kind = (form ?? 'single') as RedisAddress['kind']
  const hosts = hostList.split(',').map((text) => {
    const [, host, port = PORTS[kind]] = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(text) ?? []
    if (host === undefined || Number(port) > 65_535) throw invalid('a host is not "host" or "host:port"')
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
  })
  if (kind === 'single' && hosts.length > 1) throw invalid('several hosts are those of redis+sentinel or redis+cluster')
  if (kind === 'single' && !/^\d*$/.test(path)) throw invalid('the path is the number of a database')
  if (kind === 'sentinel' && path === '') throw invalid('the path is the name of the primary at its sentinels')
  if (kind === 'cluster' && path !== '') throw invalid('a cluster has no databases')
  return {
    ...{ kind, tls: tls === 's', hosts },
    username: username ? decodeURIComponent(username) : undefined,
    password: password ? decodeURIComponent(password) : undefined,
    db: kind === 'single' ? Number(path) : 0,
    primary: kind === 'sentinel' ? path : undefined,
  }
}

const invalid = (why: string): WeirError =>
  new WeirError(
    { code: 'REDIS_URL_INVALID', kind: 'invalid', why },
    `the address of Redis cannot be used: ${why}. Write redis://host:6379/0, redis+sentinel://host:26379,host:26379/primary or redis+cluster://host:7000,host:7001.`,
  )
