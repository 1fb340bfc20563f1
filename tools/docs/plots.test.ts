import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bars, plots, tableBehind } from './plots.mjs'

test.each(Object.entries(plots()))('docs/images/%s shows what the table says', (name, svg) => {
  const drawn = readFileSync(new URL(`../../docs/images/${name}`, import.meta.url), 'utf8')
  expect(drawn, 'run `npm run generate:plots`').toBe(svg)
})

test('bars begin at zero, so that half as much is half as long', () => {
  const svg = bars('t', 'n', [
    { name: 'a', value: 10, ours: true },
    { name: 'b', value: 5, ours: false },
  ])
  const [a, b] = [...svg.matchAll(/width="([\d.]+)" height="18"/g)].map(([, width]) => Number(width))
  expect(b! / a!).toBeCloseTo(0.5, 2)
})

test('a table that is gone is no empty plot', () => {
  expect(() => tableBehind('# other', '## Throughput')).toThrow('the plot has no table')
})
