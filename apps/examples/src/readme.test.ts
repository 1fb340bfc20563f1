/** README.md shows excerpts of the examples: their lines are here, in their order. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '')
const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test.each([
  ['Operators of your own', './03-batches.ts', 10],
  ['State and timers by key', './04-card-limits.ts', 6],
  ['Tests of your jobs', './01-orders.test.ts', 10],
])('%s in README.md: %s', (title, file, lines) => {
  const [, section = ''] = read('../../../README.md').split(`## ${title}`)
  const [, excerpt = ''] = /```ts\n(.*?)```/s.exec(section) ?? []
  const whole = linesOf(read(file))
  let at = 0
  const missing = linesOf(excerpt).filter((line) => {
    const found = whole.indexOf(line, at)
    if (found >= 0) at = found + 1
    return found < 0
  })
  expect(missing).toEqual([])
  expect(at).toBeGreaterThan(lines)
})
