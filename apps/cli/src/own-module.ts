/** Modules of this package that are loaded into other processes: files, wherever the code that names them was bundled to. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const PACKAGE = dirname(createRequire(import.meta.url).resolve('@weir/cli/package.json'))

/** @returns its URL, as `--import` takes it */
export const ownModule = (name: 'with-parent' | 'prove/crash-here'): string =>
  pathToFileURL(join(PACKAGE, 'dist', `${name}.js`)).href
