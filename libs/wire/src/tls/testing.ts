/** Certificates for tests, made by openssl: an authority and who it vouches for. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TlsSettings } from './settings.ts'

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' })
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export class TestAuthority {
  readonly dir = mkdtempSync(join(tmpdir(), 'weir-tls-'))
  readonly ca = join(this.dir, 'ca.pem')
  #serial = 0

  constructor(name: string) {
    openssl(
      'req',
      '-x509',
      ...EC,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      join(this.dir, 'ca.key'),
      '-out',
      this.ca,
    )
  }

  /** @param names as subjectAltName: `IP:127.0.0.1`, `DNS:weir` */
  issue(names = 'IP:127.0.0.1,DNS:localhost'): TlsSettings {
    const at = join(this.dir, String(++this.#serial))
    const [key, request, certificate] = [`${at}.key`, `${at}.csr`, `${at}.pem`]
    openssl('req', ...EC, '-subj', `/CN=weir-${this.#serial}`, '-keyout', key, '-out', request)
    writeFileSync(`${at}.ext`, `subjectAltName=${names}\n`)
    const by = ['-CA', this.ca, '-CAkey', join(this.dir, 'ca.key'), '-CAcreateserial']
    openssl('x509', '-req', '-in', request, ...by, '-days', '2', '-extfile', `${at}.ext`, '-out', certificate)
    return { certificate, key, ca: this.ca, serverName: null, reloadMs: 60_000 }
  }
}
