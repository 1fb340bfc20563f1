// Examples of a text that are run: a block "```console NAME" has lines "$ command", each followed by all that it prints. In what
// it prints, "…" stands for anything, over several lines too. Plain JavaScript, Node 20.
import { spawnSync } from 'node:child_process'

const EXAMPLE_TIMEOUT_MS = 60_000

/** @returns { name, examples: [{ command, expected }] } for each block, name empty where it has none */
export function examplesIn(text) {
  return [...text.matchAll(/^```console ?(\S*)\n(.*?)^```$/gms)].map(([, name, body]) => ({
    name,
    examples: body
      .split(/^\$ /m)
      .slice(1)
      .map((example) => {
        const end = example.indexOf('\n')
        return { command: example.slice(0, end), expected: example.slice(end + 1).trimEnd() }
      }),
  }))
}

/** Whether the output is what the text says. */
export function asExpected(expected, output) {
  const literal = (part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${expected.split('…').map(literal).join('[^]*')}$`).test(output.trimEnd())
}

/** Runs one by bash. @returns what is wrong, null when nothing is */
export function wrong({ command, expected }, env) {
  const { stdout, stderr, error } = spawnSync('bash', ['-c', command], {
    ...{ env, encoding: 'utf8', timeout: EXAMPLE_TIMEOUT_MS },
  })
  const output = `${stdout}${stderr}${error?.message ?? ''}`
  return asExpected(expected, output) ? null : `$ ${command}\nexpected:\n${expected}\nprinted:\n${output}`
}
