/** Bearer tokens of an OpenID Connect issuer: JWTs, checked against the keys it publishes. */
import { WeirError } from '@weir/model'
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { ROLES, type Principal, type Role } from './roles.ts'

export interface OidcSettings {
  readonly issuer: string
  readonly audience: string
  /** Where its keys are. */
  readonly jwks: string
  /** Path of names with dots: `roles`, `realm_access.roles`. */
  readonly rolesClaim: string
}

type Env = Readonly<Record<string, string | undefined>>

/** None that a public key could be misused for as a secret. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const JWKS_TIMEOUT_MS = 3_000
/** Keys are asked for again when a token names one that is not known, at most this often. */
const JWKS_COOLDOWN_MS = 10_000
/** An issuer's clock may be ahead of ours by it. */
const CLOCK_TOLERANCE_S = 5

/** Null: there is no issuer. Throws `CONFIG_INVALID` (invalid) naming the variable. */
export function oidcSettings(env: Env): OidcSettings | null {
  const issuer = env['WEIR_OIDC_ISSUER']
  if (!issuer) return null
  const audience = env['WEIR_OIDC_AUDIENCE']
  if (!audience) {
    throw invalid('WEIR_OIDC_AUDIENCE', 'WEIR_OIDC_AUDIENCE is not set: name what a token must be meant for, or tokens of other services would be taken') // prettier-ignore
  }
  const jwks = env['WEIR_OIDC_JWKS'] || `${issuer.replace(/\/$/, '')}/.well-known/jwks.json`
  if (!isSafe(jwks)) {
    throw invalid('WEIR_OIDC_JWKS', `${jwks} cannot be trusted: who stands in between could give out keys. Use https, or http on loopback`) // prettier-ignore
  }
  return { issuer, audience, jwks, rolesClaim: env['WEIR_OIDC_ROLES_CLAIM'] || 'roles' }
}

/** The highest of `weir-viewer`, `weir-operator`, `weir-admin` that the claim names; others mean nothing here. */
export function roleIn(payload: JWTPayload, claim: string): Role | null {
  let value: unknown = payload
  for (const name of claim.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null
    value = (value as Record<string, unknown>)[name]
  }
  const named = Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : []
  return ROLES.findLast((role) => named.includes(`weir-${role}`)) ?? null
}

export class OidcVerifier {
  readonly #settings: OidcSettings
  readonly #keys: JWTVerifyGetKey

  constructor(settings: OidcSettings) {
    this.#settings = settings
    const options = { timeoutDuration: JWKS_TIMEOUT_MS, cooldownDuration: JWKS_COOLDOWN_MS }
    this.#keys = createRemoteJWKSet(new URL(settings.jwks), options)
  }

  /** Throws `BEARER_REFUSED` (invalid), `JWKS_UNAVAILABLE` (retry). */
  async verify(token: string): Promise<Principal> {
    const { issuer, audience, rolesClaim, jwks } = this.#settings
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        ...{ issuer, audience, algorithms: ALGORITHMS, clockTolerance: CLOCK_TOLERANCE_S },
        requiredClaims: ['exp', 'sub'],
      })
      return { name: `oidc:${payload.sub}`, role: roleIn(payload, rolesClaim) }
    } catch (cause) {
      if (isOfToken(cause)) {
        throw new WeirError(
          { code: 'BEARER_REFUSED', kind: 'invalid', reason: (cause as Error).message },
          `the bearer token is refused (${(cause as Error).message}): get a new one from ${issuer} for the audience ${audience}`,
          { cause },
        )
      }
      throw new WeirError(
        { code: 'JWKS_UNAVAILABLE', kind: 'retry', jwks },
        `the keys of ${issuer} cannot be had from ${jwks} (${(cause as Error).message}), so no token can be checked`,
        { cause },
      )
    }
  }
}

/** A fault of the token, not of the way to the keys. */
const isOfToken = (error: unknown): boolean =>
  error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) && error.code !== 'ERR_JOSE_GENERIC'

function isSafe(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && /^(127(\.\d+){3}|localhost|\[::1\])$/.test(hostname))
}

const invalid = (variable: string, message: string): WeirError =>
  new WeirError({ code: 'CONFIG_INVALID', kind: 'invalid', variable }, message)
