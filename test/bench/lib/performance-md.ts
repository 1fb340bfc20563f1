/** docs/PERFORMANCE.md: each table between the comments of its section, and of what machine and commit it is. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { format, resolveConfig } from 'prettier'

const root = new URL('../../../', import.meta.url)
const FILE = new URL('docs/PERFORMANCE.md', root).pathname

export const today = (): string => new Date().toISOString().slice(0, 10)
export const machine = (): string => `${cpus().length} × ${cpus()[0]!.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`

/** The newest commit that changed something else than texts. */
export function codeCommit(): string {
  const code = ['log', '-1', '--format=%h', '--', '.', ':!docs', ':!*.md']
  return execFileSync('git', code, { cwd: root, encoding: 'utf8' }).trim()
}

/** The first column is a name, the others are figures. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const cells = (of: readonly string[]): string => `| ${of.join(' | ')} |`
  return [cells(titles), cells(['---', ...titles.slice(1).map(() => '--:')]), ...rows.map(cells)]
}

/** In place of what stands there, else at the end. */
export async function writeSection(section: string, markdown: string): Promise<void> {
  const [begin, end] = [`<!-- ${section} -->`, `<!-- /${section} -->`]
  let text = readFileSync(FILE, 'utf8')
  const block = `${begin}\n\n${markdown}\n${end}\n`
  const from = text.indexOf(begin)
  if (from < 0) text = `${text.trimEnd()}\n\n${block}`
  else text = `${text.slice(0, from)}${block}${text.slice(text.indexOf(end) + end.length)}`
  writeFileSync(FILE, await format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' }))
}
