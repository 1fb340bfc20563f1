import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { bundle } from './bundle.mjs'

test('a bundle is ASCII, whatever its sources have in texts, patterns and comments, and means the same', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-bundle-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  await writeFile(
    join(dir, 'in.mjs'),
    [
      'const halfOf = (n) => n /* ±0 stays ±0 */ / 2',
      'export const found = ["5µs", "5 …", "a𝒳", "5ms"].map((text) => /[µ…]|𝒳$/u.test(text))',
      'export const text = `„${halfOf(4)}“ → ∞`',
    ].join('\n'),
  )
  await bundle([join(dir, 'in.mjs')], join(dir, 'out'))
  const file = join(dir, 'out/in.js')
  // eslint-disable-next-line no-control-regex
  expect(await readFile(file, 'utf8')).toMatch(/^[\x00-\x7f]+$/)
  const { found, text } = (await import(pathToFileURL(file).href)) as { found: boolean[]; text: string }
  expect(found).toEqual([true, true, true, false])
  expect(text).toBe('„2“ → ∞')
})
