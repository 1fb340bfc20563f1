// Part of `npm run check`: what would be published is whole. Every package is packed; publint and arethetypeswrong look at the tarball (types
// of ES modules: nothing here can be required), and what its files import is what its package.json names. Needs a build.
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { pack } from './pack.mjs'

/** Ways to resolve that a package of ES modules does not serve. */
const NOT_ESM = ['node10', 'node16-cjs']
/** Lines of a block of documentation. */
const COMMENT = /^\s*\*.*$/gm
/** Files of other packages are read, too. */
const IMPORT =
  /\brequire\.resolve\(['"]([^'"]+)['"]\)|^(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

const folder = mkdtempSync(join(tmpdir(), 'weir-packages-'))
const wrong = []
try {
  const packages = pack(folder)
  for (const { name, version, tarball, unpacked, files, manifest } of packages) {
    const tell = (text) => wrong.push(`${name}: ${text}`)
    const bytes = readFileSync(tarball)
    const { messages, pkg } = await publint({
      pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
    })
    for (const message of messages) tell(`publint: ${formatMessage(message, pkg)}`)
    if (!files.includes('LICENSE')) tell('has no LICENSE')
    for (const file of files)
      if (!file.startsWith('template/') && /\.test\.|fixture|tsbuildinfo|node_modules/.test(file))
        tell(`publishes ${file}`)
    imports(unpacked, files, manifest).forEach(tell)
    for (const [dependency, range] of Object.entries(manifest.dependencies ?? {}))
      if (dependency.startsWith('@weir/') && range !== version)
        tell(`wants ${dependency} ${range}, and this is ${version}`)
    if (files.some((file) => file.endsWith('.d.ts'))) for (const text of await types(bytes)) tell(`types: ${text}`)
    rmSync(unpacked, { recursive: true, force: true })
  }
  for (const text of wrong) console.error(text)
  console.log(`${packages.length} packages, ${wrong.length} things wrong`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = wrong.length === 0 ? 0 : 1

async function types(tarball) {
  const analysis = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)))
  if (!analysis.types) return ['there are none']
  return analysis.problems
    .filter(
      ({ resolutionKind, entrypoint, kind }) =>
        !NOT_ESM.includes(resolutionKind) && !entrypoint?.endsWith('.json') && kind !== 'CJSResolvesToESM',
    )
    .map(({ kind, entrypoint, resolutionKind, fileName }) =>
      [kind, entrypoint, resolutionKind, fileName].filter(Boolean).join(' '),
    )
}

function imports(unpacked, files, { name, dependencies, peerDependencies, optionalDependencies }) {
  const declared = { ...dependencies, ...peerDependencies, ...optionalDependencies }
  const missing = new Map()
  // The dashboard is one bundle: what it was made of is in it.
  for (const file of files.filter((path) => /^dist\/(?!assets\/).*\.js$/.test(path))) {
    for (const [, read, from, lazy] of readFileSync(join(unpacked, file), 'utf8')
      .replace(COMMENT, '')
      .matchAll(IMPORT)) {
      const at = read ?? from ?? lazy
      if (at.startsWith('.') || at.startsWith('node:') || builtinModules.includes(at)) continue
      const of = at
        .split('/')
        .slice(0, at.startsWith('@') ? 2 : 1)
        .join('/')
      if (of !== name && !declared[of]) missing.set(of, file)
    }
  }
  return [...missing].map(([of, file]) => `${file} imports ${of}, which its package.json does not name`)
}
