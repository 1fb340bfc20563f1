/**
 * The real sources with one rule removed, for tests that must notice: a mutant is a textual change of one file, made
 * while bundling. Production code has no switches, and nothing on disk is changed.
 *
 *   const { explore } = await load<typeof import('../exploration/search.ts')>('test/exploration/search.ts', mutant)
 */
import { build, type Plugin } from 'esbuild'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** One rule of PROTOCOL.md, removed. */
export interface Mutant {
  /** The hole it opens: `A5`. */
  readonly hole: string
  /** What holds without the mutation: names the test. */
  readonly rule: string
  /** Relative to the repository. */
  readonly file: string
  /** Must occur exactly once in the file: a text that has moved on is an error, never a mutant that changes nothing. */
  readonly find: string
  readonly replace: string
}

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Bundles lie inside the repository, so that packages from node_modules are found from there. */
const folder = join(root, '.weir/mutants')

/**
 * The module `entry` (relative to the repository) and every Weir source it imports as one ES module; packages stay
 * imports. Throws when a mutant's text is not found exactly once, or when its file is not part of the bundle.
 */
export async function bundle(entry: string, mutants: readonly Mutant[] = []): Promise<string> {
  const applied = new Set<Mutant>()
  const mutate: Plugin = {
    name: 'mutate',
    setup(on) {
      on.onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
        kind === 'entry-point' || path.startsWith('@weir/') ? undefined : { path, external: true },
      )
      on.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = relative(root, path).replaceAll('\\', '/')
        const here = mutants.filter((mutant) => mutant.file === file)
        if (here.length === 0) return undefined
        let contents = await readFile(path, 'utf8')
        for (const mutant of here) {
          const found = contents.split(mutant.find).length - 1
          if (found !== 1) {
            const text = `${mutant.hole} (${mutant.rule}): the text to replace occurs ${found} times in ${file}, expected once`
            return { errors: [{ text }] }
          }
          contents = contents.replace(mutant.find, () => mutant.replace)
          applied.add(mutant)
        }
        return { contents, loader: 'ts' }
      })
    },
  }
  const result = await build({
    absWorkingDir: root,
    entryPoints: [join(root, entry)],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    logLevel: 'silent',
    conditions: ['@weir/source'],
    plugins: [mutate],
  })
  const missed = mutants.find((mutant) => !applied.has(mutant))
  if (missed) throw new Error(`${missed.hole} (${missed.rule}): ${entry} does not use ${missed.file}`)
  return result.outputFiles[0]!.text
}

/** The bundle's exports. */
export async function load<T>(entry: string, ...mutants: readonly Mutant[]): Promise<T> {
  const text = await bundle(entry, mutants)
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 24)}-${process.pid}.mjs`)
  await writeFile(file, text)
  try {
    return (await import(pathToFileURL(file).href)) as T
  } finally {
    await rm(file, { force: true })
  }
}
