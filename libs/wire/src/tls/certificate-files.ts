/** Certificates from files, read again as they change. What does not fit together is not taken: the ones before stay. */
import type { experimental } from '@grpc/grpc-js'
import { WeirError } from '@weir/model'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { TlsSettings } from './settings.ts'

type CaListener = experimental.CaCertificateUpdateListener
type IdentityListener = experimental.IdentityCertificateUpdateListener
interface Pems {
  readonly certificate: Buffer
  readonly key: Buffer
  readonly ca: Buffer
}

/** grpc-js' own watcher hands out certificate and key that were read while they were replaced, or could not be read. */
export class CertificateFiles implements experimental.CertificateProvider {
  readonly #settings: TlsSettings
  readonly #refused: (error: WeirError) => void
  readonly #authorities = new Set<CaListener>()
  readonly #identities = new Set<IdentityListener>()
  #pems: Pems
  #timer: NodeJS.Timeout | null = null

  /** @param refused hears of files that cannot be used. Throws `TLS_FILES_UNUSABLE` (invalid). */
  constructor(settings: TlsSettings, refused: (error: WeirError) => void = () => {}) {
    this.#settings = settings
    this.#refused = refused
    const { certificate, key, ca } = settings
    try {
      this.#pems = usable({ certificate: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(ca) })
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  /** Also called every `reloadMs` while somebody uses them. */
  async reload(): Promise<void> {
    const { certificate, key, ca } = this.#settings
    try {
      const [c, k, a] = await Promise.all([readFile(certificate), readFile(key), readFile(ca)])
      const pems = { certificate: c, key: k, ca: a }
      if (c.equals(this.#pems.certificate) && k.equals(this.#pems.key) && a.equals(this.#pems.ca)) return
      this.#pems = usable(pems)
    } catch (cause) {
      return this.#refused(this.#unusable(cause))
    }
    for (const listener of this.#authorities) this.#tellCa(listener)
    for (const listener of this.#identities) this.#tellIdentity(listener)
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#authorities.add(listener)
    this.#watch()
    process.nextTick(() => this.#tellCa(listener))
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#authorities.delete(listener)
    this.#watch()
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identities.add(listener)
    this.#watch()
    process.nextTick(() => this.#tellIdentity(listener))
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identities.delete(listener)
    this.#watch()
  }

  #tellCa(listener: CaListener): void {
    listener({ caCertificate: this.#pems.ca })
  }

  #tellIdentity(listener: IdentityListener): void {
    listener({ certificate: this.#pems.certificate, privateKey: this.#pems.key })
  }

  #watch(): void {
    const used = this.#authorities.size + this.#identities.size > 0
    if (used && this.#timer === null)
      this.#timer = setInterval(() => void this.reload(), this.#settings.reloadMs).unref()
    if (used || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #unusable(cause: unknown): WeirError {
    const { certificate, key, ca } = this.#settings
    return new WeirError(
      { code: 'TLS_FILES_UNUSABLE', kind: 'invalid', certificate, key, ca },
      `WEIR_TLS_CERT ${certificate}, WEIR_TLS_KEY ${key} and WEIR_TLS_CA ${ca} cannot be used (${(cause as Error).message}): ` +
        'they are PEM files, and the key is that of the certificate',
      { cause },
    )
  }
}

/** Throws when the key is another's, or something is no PEM. */
function usable(pems: Pems): Pems {
  createSecureContext({ cert: pems.certificate, key: pems.key, ca: pems.ca })
  return pems
}
