/** Examples of a text are found and held to what they print. */
import { expect, test } from 'vitest'
import { asExpected, examplesIn, wrong } from './console-examples.mjs'

const TEXT = `
\`\`\`console
$ echo a; echo b
a
b
$ true
\`\`\`
between, and \`\`\`sh is not run
\`\`\`console tls
$ printf '{\\n  "at": 17\\n}\\n'
{
  "at": …
}
\`\`\`
`

test('a command has all that is printed behind it, a block its name', () => {
  expect(examplesIn(TEXT)).toEqual([
    {
      name: '',
      examples: [
        { command: 'echo a; echo b', expected: 'a\nb' },
        { command: 'true', expected: '' },
      ],
    },
    { name: 'tls', examples: [{ command: `printf '{\\n  "at": 17\\n}\\n'`, expected: '{\n  "at": …\n}' }] },
  ])
})

test('what is printed is all of it, but where … stands', () => {
  expect(asExpected('a\nb', 'a\nb\n')).toBe(true)
  expect(asExpected('a', 'a\nb\n')).toBe(false)
  expect(asExpected('a.c', 'abc')).toBe(false)
  expect(asExpected('{\n…\n}', '{\n  "x": 1,\n  "y": 2\n}')).toBe(true)
})

test('an example that prints something else is said with both', () => {
  for (const { examples } of examplesIn(TEXT)) for (const of of examples) expect(wrong(of, process.env)).toBeNull()
  expect(wrong({ command: 'echo b >&2; exit 3', expected: 'a' }, process.env)).toMatch(/expected:\na\nprinted:\nb/)
})
