/** What the environment says of brokers, and what it must not. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { IN_THE_CLEAR, forKafkajs, kafkaSecurity } from './security.ts'

const dir = mkdtempSync(join(tmpdir(), 'weir-kafka-'))
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}
const USER = { WEIR_KAFKA_USERNAME: 'weir', WEIR_KAFKA_PASSWORD: 'pw1234' }

test('nothing said: in the clear', () => {
  expect(kafkaSecurity({})).toEqual(IN_THE_CLEAR)
  expect(kafkaSecurity({ WEIR_KAFKA_TLS: 'off', WEIR_KAFKA_TLS_CA: '/none' })).toEqual(IN_THE_CLEAR)
  expect(forKafkajs(IN_THE_CLEAR)).toEqual({})
})

test('the password may be a file, as Kubernetes mounts it', () => {
  const WEIR_KAFKA_PASSWORD = `file:${file('password', 'from a file\n')}`
  expect(kafkaSecurity({ ...USER, WEIR_KAFKA_SASL: 'scram-sha-512', WEIR_KAFKA_PASSWORD })).toEqual({
    tls: null,
    sasl: { mechanism: 'scram-sha-512', username: 'weir', password: 'from a file' },
  })
})

test('authorities of the system, or those of a file; a certificate of its own', () => {
  expect(kafkaSecurity({ WEIR_KAFKA_TLS: 'on' }).tls).toEqual({})
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => file(`${name}.pem`, name))
  const env = { WEIR_KAFKA_TLS_CA: ca, WEIR_KAFKA_TLS_CERT: cert, WEIR_KAFKA_TLS_KEY: key }
  expect(kafkaSecurity(env).tls).toEqual({ ca: Buffer.from('ca'), cert: Buffer.from('cert'), key: Buffer.from('key') })
})

test.each([
  ['WEIR_KAFKA_TLS', { WEIR_KAFKA_SASL: 'plain', ...USER }],
  ['WEIR_KAFKA_TLS', { WEIR_KAFKA_TLS: 'yes' }],
  ['WEIR_KAFKA_SASL', { WEIR_KAFKA_SASL: 'gssapi', ...USER }],
  ['WEIR_KAFKA_PASSWORD', { WEIR_KAFKA_SASL: 'scram-sha-256', WEIR_KAFKA_USERNAME: 'weir' }],
  ['WEIR_KAFKA_TLS_CA', { WEIR_KAFKA_TLS_CA: '/none/ca.pem' }],
  ['WEIR_KAFKA_TLS_KEY', { WEIR_KAFKA_TLS_CERT: '/none/cert.pem' }],
])('%s is named when it is wrong, and no secret with it', (variable, env) => {
  let error: unknown
  try {
    kafkaSecurity(env)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ code: 'CONFIG_INVALID', facts: { variable } })
  expect(JSON.stringify(error)).not.toContain(USER.WEIR_KAFKA_PASSWORD)
})
