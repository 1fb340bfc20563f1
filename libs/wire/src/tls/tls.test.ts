/** Who is let in by gRPC with certificates, with real ones; and how they change under running processes. */
import { Client, Server, type ChannelCredentials, ChannelCredentials as Channel } from '@grpc/grpc-js'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CertificateFiles } from './certificate-files.ts'
import { channelCredentials, serverCredentials } from './credentials.ts'
import { tlsSettings, type TlsSettings } from './settings.ts'
import { TestAuthority } from './testing.ts'

const identity = (bytes: Buffer): Buffer => bytes
const ECHO = {
  path: '/test/Echo',
  ...{ requestStream: false, responseStream: false },
  ...{
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
} as const

let own: TestAuthority
let strange: TestAuthority
beforeAll(() => {
  own = new TestAuthority('own')
  strange = new TestAuthority('strange')
})
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.forceShutdown()
})

async function listen(tls: TlsSettings | null): Promise<number> {
  const server = new Server()
  servers.push(server)
  server.addService(
    { echo: ECHO },
    { echo: (call: { request: Buffer }, reply: (e: null, b: Buffer) => void) => reply(null, call.request) },
  )
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', serverCredentials(tls), (error, port) => (error ? reject(error) : resolve(port))),
  )
}

/** Rejects when the server does not let it in, or it does not believe the server. */
function ask(port: number, credentials: ChannelCredentials): Promise<string> {
  const client = new Client(`127.0.0.1:${port}`, credentials)
  const options = { deadline: Date.now() + 20_000 }
  return new Promise<string>((resolve, reject) => {
    client.makeUnaryRequest(ECHO.path, identity, identity, Buffer.from('yes'), options, (error, bytes) =>
      error ? reject(error) : resolve(bytes!.toString()),
    )
  }).finally(() => client.close())
}

describe('between two of the fleet', () => {
  test('a call is made', async () => {
    expect(await ask(await listen(own.issue()), channelCredentials(own.issue()))).toBe('yes')
  })

  test('a server under another name than it is called by is not believed, unless the fleet has one name', async () => {
    const port = await listen(own.issue('DNS:weir.fleet'))
    await expect(ask(port, channelCredentials(own.issue()))).rejects.toThrow(/UNAVAILABLE/)
    expect(await ask(port, channelCredentials({ ...own.issue(), serverName: 'weir.fleet' }))).toBe('yes')
    await expect(ask(port, channelCredentials({ ...own.issue(), serverName: 'other' }))).rejects.toThrow(/UNAVAILABLE/)
  })
})

describe('is not let in', () => {
  test.each([
    ['who encrypts nothing', () => Channel.createInsecure()],
    ['who shows no certificate', () => Channel.createSsl(readFileSync(own.ca))],
    ['who shows a certificate of another authority', () => channelCredentials({ ...strange.issue(), ca: own.ca })],
    ['who believes another authority', () => channelCredentials({ ...own.issue(), ca: strange.ca })],
  ])('%s', async (_, credentials) => {
    const port = await listen(own.issue())
    await expect(ask(port, credentials())).rejects.toThrow(/UNAVAILABLE/)
  })

  test('who is of the fleet, to a server that is not', async () => {
    await expect(ask(await listen(strange.issue()), channelCredentials(own.issue()))).rejects.toThrow(/UNAVAILABLE/)
  })
})

describe('files that change', () => {
  /** Serial number of what a server shows. */
  const shown = (port: number, by: TlsSettings): Promise<string> =>
    new Promise((resolve, reject) => {
      const [cert, key, ca] = [by.certificate, by.key, by.ca].map((file) => readFileSync(file))
      const socket = connect({ host: '127.0.0.1', port, cert, key, ca, ALPNProtocols: ['h2'] }, () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.destroy()
      }).on('error', reject)
    })

  test('a running server shows the new certificate to whoever comes, without a restart', async () => {
    const client = own.issue()
    const used = { ...own.issue(), reloadMs: 20 }
    const port = await listen(used)
    const before = await shown(port, client)
    const next = own.issue()
    copyFileSync(next.certificate, used.certificate)
    copyFileSync(next.key, used.key)
    await expect.poll(() => shown(port, client), { timeout: 15_000 }).not.toBe(before)
    expect(await ask(port, channelCredentials(client))).toBe('yes')
  })

  test('a new authority is believed, and the one before no more', async () => {
    const used = { ...own.issue(), ca: `${own.dir}/both.pem`, reloadMs: 20 }
    copyFileSync(own.ca, used.ca)
    const port = await listen(used)
    const stranger = { ...strange.issue(), ca: own.ca }
    await expect(ask(port, channelCredentials(stranger))).rejects.toThrow(/UNAVAILABLE/)
    copyFileSync(strange.ca, used.ca)
    const outcome = (tls: TlsSettings): Promise<string> => ask(port, channelCredentials({ ...tls })).catch(() => 'no')
    await expect.poll(() => outcome(stranger), { timeout: 15_000 }).toBe('yes')
    expect(await outcome(own.issue())).toBe('no')
  })

  test('half of a change is not taken: a key of another certificate leaves the ones before', async () => {
    const used = own.issue()
    const refused: string[] = []
    const files = new CertificateFiles(used, ({ code }) => refused.push(code))
    const told: Buffer[] = []
    files.addIdentityCertificateListener((update) => told.push(update!.certificate))
    await expect.poll(() => told.length).toBe(1)
    const next = own.issue()
    copyFileSync(next.certificate, used.certificate)
    await files.reload()
    expect([refused, told.length]).toEqual([['TLS_FILES_UNUSABLE'], 1])
    copyFileSync(next.key, used.key)
    await files.reload()
    expect(told.at(-1)).toEqual(readFileSync(next.certificate))
  })

  test('files that cannot be used are said at the start', () => {
    const broken = { ...own.issue(), key: `${own.dir}/none.key` }
    expect(() => serverCredentials(broken)).toThrow(expect.objectContaining({ code: 'TLS_FILES_UNUSABLE' }))
    writeFileSync(broken.key, 'x')
    expect(() => channelCredentials(broken)).toThrow(/none.key/)
  })
})

test('all of the files or none', () => {
  expect(tlsSettings({})).toBeNull()
  expect(() => tlsSettings({ WEIR_TLS_CERT: 'a', WEIR_TLS_KEY: 'b' })).toThrow(/WEIR_TLS_CA/)
  const all = { WEIR_TLS_CERT: 'a', WEIR_TLS_KEY: 'b', WEIR_TLS_CA: 'c' }
  expect(tlsSettings(all)).toMatchObject({ serverName: null, reloadMs: 30_000 })
  expect(() => tlsSettings({ ...all, WEIR_TLS_RELOAD_SECONDS: '0' })).toThrow(/WEIR_TLS_RELOAD_SECONDS/)
})
