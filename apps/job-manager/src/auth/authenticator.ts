/** Who asks: the fleet and its tools by their shared token, people by tokens of an issuer. */
import { WeirError } from '@weir/model'
import { checkToken } from '@weir/wire'
import { OidcVerifier, type OidcSettings } from './oidc.ts'
import type { Principal } from './roles.ts'

export interface Credentials {
  /** Of `weir-token`. */
  readonly token: string | undefined
  /** Of `authorization`. */
  readonly authorization: string | undefined
}

export class Authenticator {
  readonly #token: string | null
  readonly #oidc: OidcVerifier | null

  constructor(token: string | null, oidc: OidcSettings | null) {
    this.#token = token
    this.#oidc = oidc && new OidcVerifier(oidc)
  }

  /** False: everybody is let in, and only loopback is listened on. */
  get required(): boolean {
    return this.#token !== null || this.#oidc !== null
  }

  /** Throws `TOKEN_REFUSED`, `BEARER_REFUSED` (invalid), `JWKS_UNAVAILABLE` (retry). */
  async authenticate({ token, authorization }: Credentials): Promise<Principal> {
    if (!this.required) return { name: 'anonymous', role: 'admin' }
    const bearer = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    const secret = token ?? bearer
    if (this.#oidc !== null && token === undefined && bearer !== undefined && bearer.split('.').length === 3) {
      return this.#oidc.verify(bearer)
    }
    if (this.#token === null) {
      throw new WeirError(
        { code: 'BEARER_REFUSED', kind: 'invalid', reason: 'missing' },
        'a bearer token of the issuer is needed: send `authorization: Bearer TOKEN` (WEIR_BEARER_TOKEN in the CLI)',
      )
    }
    checkToken(this.#token, secret)
    return { name: 'fleet', role: 'admin' }
  }
}
