import { expect, test } from 'vitest'
import { listenSettings, requireNode } from './settings.ts'

const code = (value: string): Error => expect.objectContaining({ code: value, kind: 'invalid' }) as Error

test('loopback needs no token, anything else does', () => {
  expect(listenSettings({})).toEqual({
    host: '127.0.0.1',
    grpcPort: 0,
    httpPort: 0,
    advertiseHost: '127.0.0.1',
    token: null,
    tls: null,
  })
  for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) listenSettings({ WEIR_HOST: host })
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '127.example.org']) {
    expect(() => listenSettings({ WEIR_HOST: host })).toThrow(code('CONFIG_INVALID'))
    expect(listenSettings({ WEIR_HOST: host, WEIR_FLEET_TOKEN: 's' }).token).toBe('s')
  }
})

test.each(['-1', '65536', 'x', '1.5'])('WEIR_GRPC_PORT=%s is refused', (port) => {
  expect(() => listenSettings({ WEIR_GRPC_PORT: port })).toThrow(/WEIR_GRPC_PORT/)
})

test('an old Node is refused by name, not by a missing export somewhere', () => {
  for (const version of ['20.20.2', '22.14.0']) expect(() => requireNode(version)).toThrow(code('NODE_TOO_OLD'))
  for (const version of ['22.15.0', '24.0.0']) requireNode(version)
})
