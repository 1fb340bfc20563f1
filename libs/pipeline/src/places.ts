/** Where in the text of a pipeline its parts stand. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
  type Scalar,
} from 'yaml'
import { looksSecret } from '@weir/dataflow'
import type { Problem } from './job/index.ts'

/** Lines and columns from 1, in UTF-16 units; `length` on that line. */
export interface Place {
  readonly line: number
  readonly column: number
  readonly length: number
}

/** In the place of what nobody is shown. */
const HIDDEN = '[secret]'
/** Deeper or more often referred to, it is no pipeline: the bound of what aliases may blow up to. */
const ALIASES_MAX = 100

export class YamlText {
  readonly #text: string
  readonly #lines = new LineCounter()
  readonly #document: Document.Parsed
  /** Of scalars that are shown to nobody: offsets in the text. */
  readonly #hidden: { readonly start: number; readonly end: number }[] = []

  constructor(text: string) {
    this.#text = text
    // Keys that are there twice are told of by `syntax`; `1.0` and `yes` are what YAML 1.2 says.
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      version: '1.2',
      uniqueKeys: true,
    })
    visit(this.#document, {
      Pair: (_, { key, value }) => {
        if (isScalar(key) && isScalar(value) && looksSecret(String(key.value), String(value.value))) this.#hide(value)
      },
    })
  }

  /** What stands at the path, and in it, is left out of every excerpt. */
  hide({ path }: Pick<Problem, 'path'>): void {
    let node: unknown = this.#document.contents
    for (const key of path) node = this.#child(node, key)?.node
    const found = isAlias(node) ? node.resolve(this.#document) : node
    if (isScalar(found)) this.#hide(found)
    else if (isMap(found) || isSeq(found))
      visit(found, { Scalar: (key, scalar) => (key === 'key' ? undefined : this.#hide(scalar)) })
  }

  #hide({ range }: Scalar): void {
    if (range) this.#hidden.push({ start: range[0], end: range[1] })
  }

  /** The first mistake of YAML itself: those behind it mostly follow from it. */
  get syntax(): readonly { readonly message: string; readonly place: Place }[] {
    return [...this.#document.errors, ...this.#document.warnings].slice(0, 1).map(({ message, pos }) => ({
      message: message.replace(/\s+at line \d+.*$/s, ''),
      place: this.#placeOf(pos[0], Math.max(pos[1], pos[0] + 1)),
    }))
  }

  /** Plain values. Throws where aliases make too much of it. */
  get value(): unknown {
    return this.#document.toJS({ maxAliasCount: ALIASES_MAX })
  }

  /** Of what the problem is about; of the part around it where that is not there. */
  placeOf({ path, range, isKey }: Pick<Problem, 'path' | 'range' | 'isKey'>): Place {
    let node: unknown = this.#document.contents
    let pair: Pair | null = null
    let isWhole = true
    for (const key of path) {
      const next = this.#child(node, key)
      if (next === null) {
        isWhole = false
        break
      }
      pair = next.pair
      node = next.node
    }
    const key = pair?.key
    if (isKey === true || !isWhole || !isScalar(node)) {
      // A mapping of several lines is shown by the key it stands under, or its first key.
      const flow = isWhole && (isMap(node) || isSeq(node)) && node.flow === true ? node.range : null
      if (isKey !== true && flow) return this.#placeOf(flow[0], flow[1])
      if (isScalar(key) && key.range) return this.#placeOf(key.range[0], key.range[1])
      const first = isMap(node) ? node.items[0]?.key : node
      const of = (isScalar(first) ? first : node) as Node | null
      const [start, end] = of?.range ?? [0, 1]
      return this.#placeOf(start, end)
    }
    const [start, end] = node.range ?? [0, 1]
    if (range === undefined) return this.#placeOf(start, end)
    const at = (offset: number): number => this.#sourceOffset(node, offset)
    return this.#placeOf(at(range.start), Math.max(at(range.end), at(range.start) + 1))
  }

  /** The line with the place marked, without what is hidden. */
  show({ line, column, length }: Place): string {
    const whole = (this.#text.split(/\r?\n/)[line - 1] ?? '').replaceAll('\t', ' ')
    const { text, at } = this.#shown(line, whole)
    const number = String(line).padStart(5)
    const from = at(column - 1)
    const marked = Math.max(1, at(Math.min(column - 1 + length, whole.length)) - from)
    return `${number} | ${text}\n${' '.repeat(number.length)} | ${' '.repeat(from)}${'^'.repeat(marked)}`
  }

  /** `at`: where a character of the line is by then. */
  #shown(line: number, whole: string): { readonly text: string; readonly at: (offset: number) => number } {
    const begin = this.#lines.lineStarts[line - 1] ?? 0
    const hidden = this.#hidden
      .map(({ start, end }) => ({ start: Math.max(0, start - begin), end: Math.min(whole.length, end - begin) }))
      .filter(({ start, end }) => start < end)
      .toSorted((a, b) => a.start - b.start)
      .filter(({ start }, i, all) => i === 0 || start >= all[i - 1]!.end)
    const { text } = hidden.reduceRight(
      ({ text, stop }, { start, end }) => ({ text: HIDDEN + whole.slice(end, stop) + text, stop: start }),
      { text: '', stop: whole.length },
    )
    const first = hidden[0]?.start ?? whole.length
    const at = (offset: number): number => {
      let shift = 0
      for (const { start, end } of hidden) {
        if (offset >= end) shift += HIDDEN.length - (end - start)
        else if (offset > start) return start + shift
      }
      return offset + shift
    }
    return { text: whole.slice(0, first) + text, at }
  }

  #child(node: unknown, key: string | number): { readonly node: unknown; readonly pair: Pair | null } | null {
    const of = isAlias(node) ? node.resolve(this.#document) : node
    if (isSeq(of)) return typeof key === 'number' && key < of.items.length ? { node: of.items[key], pair: null } : null
    if (!isMap(of)) return null
    const pair = of.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
    return pair === undefined ? null : { node: pair.value, pair: pair as Pair }
  }

  /** Where the character of a scalar's value stands in the text. */
  #sourceOffset(node: Scalar, offset: number): number {
    const [start, end] = node.range!
    const raw = this.#text.slice(start, end)
    const value = String(node.value)
    if (node.type === 'PLAIN') return start + (raw.startsWith(value) ? offset : inFolded(raw, value, offset))
    if (node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE') return start + inQuoted(raw, offset, node.type)
    return start + inFolded(raw, value, offset)
  }

  #placeOf(start: number, end: number): Place {
    const { line, col } = this.#lines.linePos(start)
    const lineEnd = this.#text.indexOf('\n', start)
    const stop = Math.min(end, lineEnd < 0 ? this.#text.length : lineEnd)
    return { line: Math.max(1, line), column: Math.max(1, col), length: Math.max(1, stop - start) }
  }
}

/** Of a text over several lines: its characters that are no white space stand in the source in their order. */
function inFolded(raw: string, value: string, offset: number): number {
  let at = /^[|>]/.test(raw) ? raw.indexOf('\n') + 1 : 0
  for (let i = 0; i < value.length && i <= offset; i++) {
    if (/\s/.test(value[i]!)) continue
    const found = raw.indexOf(value[i]!, at)
    if (found < 0) return 0
    if (i === offset) return found
    at = found + 1
  }
  return at
}

function inQuoted(raw: string, offset: number, type: 'QUOTE_SINGLE' | 'QUOTE_DOUBLE'): number {
  let at = 1
  for (let i = 0; i < offset && at < raw.length - 1; i++) {
    const rest = raw.slice(at)
    const escape =
      type === 'QUOTE_SINGLE' ? /^''/.exec(rest) : /^\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.)/.exec(rest)
    at += escape?.[0].length ?? 1
  }
  return at
}
