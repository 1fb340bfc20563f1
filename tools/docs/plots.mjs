// `npm run generate:plots`: draws the tables of docs/ that benches write as docs/images/*.svg, for the README. A test holds
// them to their tables.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** Rows of the first table behind `heading`, as objects by column. */
export function tableBehind(markdown, heading) {
  const at = markdown.indexOf(heading)
  if (at < 0) throw new Error(`no "${heading}": the plot has no table`)
  const lines = markdown.slice(at).split('\n')
  const from = lines.findIndex((line) => line.startsWith('|'))
  const cells = (line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const table = lines.slice(
    from,
    lines.findIndex((line, i) => i > from && !line.startsWith('|')),
  )
  const columns = cells(table[0])
  return table.slice(2).map((line) => Object.fromEntries(cells(line).map((cell, i) => [columns[i], cell])))
}

const WIDTH = 720
const ROW = 26
const LEFT = 190
const RIGHT = 90
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** Bars that begin at zero. @param rows [{ name, value, ours, said? }] */
export function bars(title, note, rows) {
  const most = Math.max(...rows.map(({ value }) => value))
  const height = 58 + rows.length * ROW + 26
  const drawn = rows.map(({ name, value, ours, said = value.toLocaleString('en') }, i) => {
    const y = 58 + i * ROW
    const width = ((WIDTH - LEFT - RIGHT) * value) / most
    return [
      `<text x="${LEFT - 10}" y="${y + 14}" text-anchor="end">${escaped(name)}</text>`,
      `<rect class="${ours ? 'ours' : 'theirs'}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="18" rx="2"/>`,
      `<text class="value" x="${(LEFT + width + 8).toFixed(1)}" y="${y + 14}">${escaped(said)}</text>`,
    ].join('\n')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #17202a }
.title { font-weight: 650; font-size: 15px }
.note { fill: #55606a; font-size: 12px }
.value { font-variant-numeric: tabular-nums }
.ours { fill: #0b5c8a }
.theirs { fill: #a9b4bd }
@media (prefers-color-scheme: dark) {
text { fill: #e6ebef }
.note { fill: #a2adb7 }
.ours { fill: #79c4f2 }
.theirs { fill: #55606a }
}
</style>
<text class="title" x="0" y="18">${escaped(title)}</text>
<text class="note" x="0" y="38">${escaped(note)}</text>
${drawn.join('\n')}
</svg>
`
}

const ENGINES = [
  'Kafka Streams, tuned',
  'Flink, tuned',
  'Weir, fail',
  'Weir, keyedBySource, fail',
  'Node loop, one thread',
]

/** By name of the file. */
export function plots() {
  const performance = readFileSync(join(root, 'docs/PERFORMANCE.md'), 'utf8')
  const reliability = readFileSync(join(root, 'docs/RELIABILITY.md'), 'utf8')
  const sum = tableBehind(performance, '## Throughput: running sum per user').filter((row) => ENGINES.includes(row['']))
  const expired = tableBehind(reliability, '## The case others lose')
  const median = (cell) => {
    const values = cell
      .replaceAll('**', '')
      .split('·')
      .map((part) => Number(part.replaceAll(',', '')))
    return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
  }
  return {
    'throughput.svg': bars(
      'Running sum per user, exactly once: thousand records per second',
      'Start included, two cores shared with the broker; the loop is by hand and without recovery: the limit.',
      sum.map((row) => ({
        name: row[''],
        value: Number(row['k records/s, start included']),
        ours: row[''].startsWith('Weir'),
      })),
    ),
    'lost.svg': bars(
      'Killed between checkpoint and commit until the transaction expired: outputs lost',
      'Median of three runs of 22,000 to 29,000 outputs each, counted by an outside reader; docs/RELIABILITY.md',
      expired.map((row) => ({
        name: row['engine'],
        value: median(row['lost']),
        ours: row['engine'].startsWith('Weir'),
      })),
    ),
  }
}

if (process.argv[1] === import.meta.filename)
  for (const [name, svg] of Object.entries(plots())) writeFileSync(join(root, 'docs/images', name), svg)
