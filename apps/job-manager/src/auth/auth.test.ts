/** Who gets in, and what each role may: every route and every gRPC method, with tokens of a real issuer's keys. */
import { ChannelCredentials, Metadata } from '@grpc/grpc-js'
import { jobs } from '@weir/proto'
import { SignJWT, exportJWK, generateKeyPair, type GenerateKeyPairResult, type JWTPayload } from 'jose'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testManager, type TestManager } from '../rest/testing.ts'
import { GRPC_ACCESS, REST_ACCESS } from './access.ts'
import { oidcSettings, roleIn } from './oidc.ts'
import { ROLES, mayAct } from './roles.ts'

const AUDIENCE = 'weir'
let issuer: { readonly server: Server; readonly url: string }
let fleet: TestManager
let sign: (claims: JWTPayload, over?: { audience?: string; issuer?: string; exp?: string }) => Promise<string>
let forge: typeof sign

beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const stranger = await generateKeyPair('ES256')
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] }
  const server = createServer((_, answer) =>
    answer.setHeader('content-type', 'application/json').end(JSON.stringify(keys)),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  issuer = { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  const signer =
    (key: GenerateKeyPairResult['privateKey']): typeof sign =>
    (claims, over = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .setIssuer(over.issuer ?? issuer.url)
        .setAudience(over.audience ?? AUDIENCE)
        .setExpirationTime(over.exp ?? '1h')
        .sign(key)
  sign = signer(privateKey)
  forge = signer(stranger.privateKey)
  fleet = await testManager({
    WEIR_FLEET_TOKEN: 'secret',
    ...{ WEIR_OIDC_ISSUER: issuer.url, WEIR_OIDC_AUDIENCE: AUDIENCE, WEIR_OIDC_JWKS: `${issuer.url}/keys` },
  })
})
afterAll(async () => {
  await fleet.close()
  issuer.server.close()
})

const as = (role: string): Promise<string> => sign({ sub: `a-${role}`, roles: ['others', `weir-${role}`] })

async function ask(route: string, bearer: string | null): Promise<{ status: number; code: string | undefined }> {
  const [method, path] = route.split(' ') as [string, string]
  const url = `${fleet.url}${path.replaceAll(/:\w+/g, 'x')}`
  const answer = await fetch(url, { method, ...(bearer && { headers: { authorization: `Bearer ${bearer}` } }) })
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream')
  if (isStream) await answer.body!.cancel()
  const body = isStream || answer.status === 204 ? {} : ((await answer.json()) as { code?: string })
  return { status: answer.status, code: body.code }
}

describe('REST', () => {
  test('every route stands in the table', async () => {
    const { paths } = (await (await fetch(`${fleet.url}/docs-json`)).json()) as { paths: Record<string, object> }
    const routes = Object.entries(paths).flatMap(([path, item]) =>
      path.startsWith('/api/')
        ? Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`)
        : [],
    )
    expect(routes.filter((route) => !(route in REST_ACCESS))).toEqual([])
  })

  describe.each(Object.entries(REST_ACCESS))('%s', (route, { role }) => {
    test(`needs ${role}`, async () => {
      const without = await ask(route, null)
      if (without.code === 'PATH_UNKNOWN') return // it comes with another part of the API
      expect(without).toMatchObject({ status: 401 })
      expect(await ask(route, await sign({ sub: 'nobody' }))).toEqual({ status: 403, code: 'ROLE_REFUSED' })
      for (const had of ROLES) {
        const { status } = await ask(route, await as(had))
        const isLetIn = status !== 401 && status !== 403
        expect({ had, isLetIn }).toEqual({ had, isLetIn: mayAct(had, role) })
      }
      expect((await ask(route, 'secret')).status).not.toBe(401) // the fleet's own
    })
  })
})

describe('gRPC', () => {
  const methods = Object.keys(jobs.JobsService)
  let client: jobs.JobsClient
  beforeAll(() => (client = new jobs.JobsClient(fleet.grpc, ChannelCredentials.createInsecure())))
  afterAll(() => client.close())

  /** @returns the code of the error, or `done` */
  function call(method: string, bearer: string | null): Promise<string> {
    const numbers = { parallelism: 1, limit: 1 }
    const metadata = new Metadata()
    if (bearer !== null) metadata.set('authorization', `Bearer ${bearer}`)
    return new Promise((resolve) => {
      const reply = (error: { metadata: Metadata } | null): void => {
        const packed = error?.metadata.get('weir-error')[0]
        resolve(packed === undefined ? 'done' : (JSON.parse(String(packed)) as { code: string }).code)
      }
      const request = {
        jobId: 'x',
        name: 'x',
        transactionalId: 'x',
        ...numbers,
        plan: Buffer.alloc(0),
        allowDroppedState: [],
        origins: [],
      }
      const of = client as unknown as Record<
        string,
        (...args: unknown[]) => { write(chunk: unknown): void; end(): void }
      >
      if (method !== 'uploadBundle') {
        of[method]!.call(client, request, metadata, reply)
        return
      }
      const upload = of[method]!.call(client, metadata, reply)
      upload.write({ digest: 'x', data: Buffer.from('x') })
      upload.end()
    })
  }

  test('every method stands in the table', () => {
    expect(Object.keys(GRPC_ACCESS).sort()).toEqual([...methods, 'now'].sort())
  })

  test.each(methods)('%s is for its role', async (method) => {
    const { role } = GRPC_ACCESS[method as keyof typeof GRPC_ACCESS]
    expect(await call(method, null)).toBe('TOKEN_REFUSED')
    for (const had of ROLES) {
      const code = await call(method, await as(had))
      expect({ had, isRefused: code === 'ROLE_REFUSED' }).toEqual({ had, isRefused: !mayAct(had, role) })
    }
  })
})

describe('tokens', () => {
  const route = 'GET /api/v1/jobs'
  test.each([
    ['of another key', () => forge({ sub: 'm', roles: ['weir-admin'] })],
    ['for another audience', () => sign({ sub: 'm', roles: ['weir-admin'] }, { audience: 'other' })],
    ['of another issuer', () => sign({ sub: 'm', roles: ['weir-admin'] }, { issuer: 'http://other' })],
    ['that have expired', () => sign({ sub: 'm', roles: ['weir-admin'] }, { exp: '1 minute ago' })],
    ['of nobody', () => sign({ roles: ['weir-admin'] })],
  ])('%s are refused', async (_, make) => {
    expect(await ask(route, await make())).toEqual({ status: 401, code: 'BEARER_REFUSED' })
  })

  test('without a signature are refused', async () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = { iss: issuer.url, aud: AUDIENCE, sub: 'm', exp: 9_999_999_999, roles: ['weir-admin'] }
    expect(await ask(route, `${part({ alg: 'none' })}.${part(claims)}.`)).toEqual({
      status: 401,
      code: 'BEARER_REFUSED',
    })
  })

  test('cannot be checked while the keys cannot be had: ask again', async () => {
    const gone = await testManager({
      ...{ WEIR_OIDC_ISSUER: issuer.url, WEIR_OIDC_AUDIENCE: AUDIENCE, WEIR_OIDC_JWKS: 'http://127.0.0.1:1/keys' },
    })
    const headers = { authorization: `Bearer ${await as('admin')}` }
    const answer = await fetch(`${gone.url}/api/v1/jobs`, { headers })
    expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'JWKS_UNAVAILABLE', kind: 'retry' }])
    expect((await fetch(`${gone.url}/api/v1/jobs`)).headers.get('www-authenticate')).toBe('Bearer')
    await gone.close()
  })
})

describe('settings', () => {
  test.each([
    [{ WEIR_OIDC_ISSUER: 'https://i' }, 'WEIR_OIDC_AUDIENCE'],
    [{ WEIR_OIDC_ISSUER: 'http://idp.example', WEIR_OIDC_AUDIENCE: 'a' }, 'WEIR_OIDC_JWKS'],
    [{ WEIR_OIDC_ISSUER: 'https://i', WEIR_OIDC_AUDIENCE: 'a', WEIR_OIDC_JWKS: 'keys' }, 'WEIR_OIDC_JWKS'],
  ])('%j: %s is named', (env, variable) => {
    expect(() => oidcSettings(env)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', facts: expect.objectContaining({ variable }) as object }),
    )
  })

  test('the highest role of the claim counts, wherever it lies', () => {
    expect(roleIn({ roles: ['weir-viewer', 'weir-admin', 'admin'] }, 'roles')).toBe('admin')
    expect(roleIn({ realm_access: { roles: ['weir-operator'] } }, 'realm_access.roles')).toBe('operator')
    expect(roleIn({ scope: 'openid weir-viewer' }, 'scope')).toBe('viewer')
    expect(roleIn({ roles: ['admin'] }, 'roles')).toBeNull()
    expect(roleIn({}, '__proto__.roles')).toBeNull()
  })
})
