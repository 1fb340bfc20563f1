/** A project from the template: files with the project's name and this version in them. */
import { cp, mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const TEMPLATE = fileURLToPath(new URL('../template', import.meta.url))
const MANIFEST = fileURLToPath(new URL('../package.json', import.meta.url))
/** Names that npm would leave out of a package, or take for its own. */
const RENAMED: Readonly<Record<string, string>> = { _gitignore: '.gitignore', '_package.json': 'package.json' }
/** A name like any other: the template is a project that can be looked at, and whose test runs as it is. */
const PLACEHOLDER = 'weir-app-name'
/** Of an npm package and of a job. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

export class CreateError extends Error {}

/** @returns the files, relative to the folder. Throws CreateError with what to do instead. */
export async function create(folder: string): Promise<{ readonly name: string; readonly files: readonly string[] }> {
  const target = resolve(folder)
  const name = basename(target).toLowerCase()
  if (!NAME.test(name))
    throw new CreateError(
      `the folder's name becomes the project's: use a-z, 0-9 and "-", not ${JSON.stringify(basename(target))}`,
    )
  await mkdir(target, { recursive: true })
  // `git init` first is fine.
  const there = (await readdir(target)).filter((entry) => entry !== '.git')
  if (there.length > 0)
    throw new CreateError(`${folder} is not empty (${there[0]} is there): name a folder that is new`)
  const { version } = JSON.parse(await readFile(MANIFEST, 'utf8')) as { version: string }
  await cp(TEMPLATE, target, {
    recursive: true,
    filter: (path) => !path.slice(TEMPLATE.length).includes('node_modules'),
  })
  const files: string[] = []
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath.slice(target.length).startsWith('/.git')) continue
    const from = join(entry.parentPath, entry.name)
    const to = join(dirname(from), RENAMED[entry.name] ?? entry.name)
    if (from !== to) await rename(from, to)
    const text = await readFile(to, 'utf8')
    await writeFile(to, text.replaceAll(PLACEHOLDER, name).replaceAll('{{version}}', version))
    files.push(to.slice(target.length + 1))
  }
  return { name, files: files.sort() }
}
