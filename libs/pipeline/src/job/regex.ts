/**
 * Patterns of `matches`. CEL's are RE2's, which take time in proportion to the text; ours are run by the JavaScript engine, which may
 * backtrack for ever. So what can explode is refused, and what is left takes at most a polynomial of the text's length.
 */

const LENGTH_MAX = 200
/** A text of n characters costs at most about n to the power of this, and one. */
const UNBOUNDED_MAX = 3

/** What is wrong with a pattern; null: nothing. */
export function patternProblem(pattern: string): string | null {
  if (pattern.length > LENGTH_MAX) return `it has ${pattern.length} characters, and at most ${LENGTH_MAX} are allowed`
  try {
    new RegExp(pattern)
  } catch (cause) {
    return (cause as Error).message
  }
  if (/\(\?<?[=!]/.test(pattern)) return 'it looks ahead or behind, which RE2 does not know'
  if (/\\(?:[1-9]|k<)/.test(pattern)) return 'it refers back to a group, which RE2 does not know'
  return repetitionProblem(pattern)
}

/** A group that is repeated must have neither repetition nor alternatives inside: (a+)+ and (a|a)* try exponentially much. */
function repetitionProblem(pattern: string): string | null {
  const groups: { risky: boolean }[] = [{ risky: false }]
  let unbounded = 0
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!
    if (c === '\\') i++
    else if (c === '[') i = endOfClass(pattern, i)
    else if (c === '(') groups.push({ risky: false })
    else if (c === '|') groups.at(-1)!.risky = true
    else if (c === ')') {
      const { risky } = groups.pop()!
      const repeated = /^(?:[*+]|\{\d+(?:,\d*)?\})/.test(pattern.slice(i + 1))
      if (risky && repeated)
        return 'it repeats a group that has a repetition or alternatives inside, which may never come to an end'
      if (risky) groups.at(-1)!.risky = true
    } else if (c === '*' || c === '+' || /^\{\d+,\d*\}/.test(pattern.slice(i))) {
      groups.at(-1)!.risky = true
      if (++unbounded > UNBOUNDED_MAX) return `it has more than ${UNBOUNDED_MAX} repetitions (*, +, {n,m})`
    }
  }
  return null
}

function endOfClass(pattern: string, from: number): number {
  for (let i = from + 1; i < pattern.length; i++) {
    if (pattern[i] === '\\') i++
    else if (pattern[i] === ']') return i
  }
  return pattern.length
}
