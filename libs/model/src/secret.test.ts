/** Where a secret is read, and that no message has it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { REDACTED, Redaction } from './redaction.ts'
import { isSecretReference, secretOf, secretSetting, type SecretSources } from './secret.ts'

const sources = (env: Record<string, string>, files: Record<string, string> = {}): SecretSources => ({
  env,
  read: (path) => {
    const text = files[path]
    if (text === undefined) throw new Error(`ENOENT: ${path}`)
    return text
  },
})

test.each(['env:DB_URL', 'file:/var/run/secrets/db/url'])('%s is a reference', (text) => {
  expect(isSecretReference(text)).toBe(true)
})
test.each(['', 'env:', 'env:A B', 'file:relative', 'DB_URL', 'postgres://ada:pw@host/db', 'env:A\nB'])(
  '%j is none',
  (text) => expect(isSecretReference(text)).toBe(false),
)

test('it is read from the environment or a file, each time anew; a line feed at the end is no part of it', () => {
  const files = { '/s/url': 'one\n' }
  const from = sources({ DB: 'postgres://x' }, files)
  expect(secretOf('env:DB', 'sink', from)).toBe('postgres://x')
  expect(secretOf('file:/s/url', 'sink', from)).toBe('one')
  files['/s/url'] = ' two \r\n'
  expect(secretOf('file:/s/url', 'sink', from)).toBe(' two ')
})

test.each([
  ['env:NONE', /variable NONE/],
  ['file:/none', /file \/none.*ENOENT/],
  ['file:/empty', /empty/],
])('%s is said to be missing, by its name', (reference, said) => {
  const error = thrown(() => secretOf(reference, 'sink "rows"', sources({}, { '/empty': '\n' })))
  expect(error).toMatchObject({ code: 'SECRET_MISSING', kind: 'invalid', facts: { reference } })
  expect((error as Error).message).toMatch(said)
})

test('what was given instead of a reference is not repeated: it may be the secret', () => {
  const error = thrown(() => secretOf('postgres://ada:pw1234@host/db', 'sink "rows"', sources({})))
  expect(JSON.stringify(error)).not.toContain('pw1234')
  expect(JSON.stringify(error)).toContain('env:NAME or file:/PATH')
})

test('a setting is the value, or a file that has it', () => {
  const from = sources({ TOKEN: 'abc', MOUNTED: 'file:/t', EMPTY: '' }, { '/t': 'def\n' })
  expect(['TOKEN', 'MOUNTED', 'EMPTY', 'NONE'].map((name) => secretSetting(name, from))).toEqual([
    ...['abc', 'def', null, null],
  ])
})

describe('redaction', () => {
  test.each([
    ['a token', 'Bearer abc.def', 'refused: abc.def', `refused: ${REDACTED}`],
    ['a password of a URL', 'postgres://ada:p%40ss@h/db', 'no p@ss, no p%40ss', `no ${REDACTED}, no ${REDACTED}`],
    [
      'basic credentials',
      'Basic YWRhOnNlY3JldA==',
      'ada:secret, secret, YWRhOnNlY3JldA==',
      `${REDACTED}, ${REDACTED}, ${REDACTED}`,
    ],
    ['a short one', 'abc', 'abcabc', 'abcabc'],
  ])('%s', (_, secret, said, clean) => {
    const redaction = new Redaction()
    redaction.add(secret)
    expect(redaction.text(said)).toBe(clean)
  })

  test('no string of plain data has a secret any more, however they overlap', () => {
    const secret = fc.string({ unit: fc.constantFrom('a', 'b', '/'), minLength: 4, maxLength: 9 })
    fc.assert(
      fc.property(fc.array(secret, { minLength: 1, maxLength: 4 }), fc.string(), (secrets, between) => {
        const redaction = new Redaction()
        for (const one of secrets) redaction.add(one)
        const clean = redaction.data({ facts: { all: [secrets.join(between), 7, null] }, message: secrets.join('') })
        for (const one of secrets) expect(JSON.stringify(clean)).not.toContain(one)
        expect(clean.facts.all.slice(1)).toEqual([7, null])
      }),
    )
  })
})

function thrown(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
