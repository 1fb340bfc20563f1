import { Metadata, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { fromServiceError } from './errors.ts'

test('of a connection that fails it is told what somebody can do something about', () => {
  const of = (details: string): string =>
    fromServiceError({ code: status.UNAVAILABLE, details, metadata: new Metadata() }, '127.0.0.1:1').message
  expect(of('No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ')).toBe(
    '127.0.0.1:1 did not answer (connect ECONNREFUSED 127.0.0.1:1). Is it running, and is the address right?',
  )
  expect(of('Connection dropped')).toContain('(Connection dropped)')
})
