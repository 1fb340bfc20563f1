// Programs and threads as few files instead of thousands: what loads its modules one by one takes twice as long, and somebody waits for
// it. Made of what tsc wrote, since esbuild knows nothing of the types that Nest's decorators tell; stacks name the TypeScript with
// --enable-source-maps, and without it lines that can be read.
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { root } from './setup.mjs'

/**
 * Stay packages: those with native code; msgpackr and reflect-metadata, of which there must be one (what they keep is global); esbuild, which
 * starts a program of its own.
 */
const PACKAGES = ['@node-rs/crc32', 'classic-level', 'esbuild', 'lz4-napi', 'msgpackr', 'reflect-metadata', 'snappy']
/** For what esbuild leaves of CommonJS packages: `require` of Node's own modules, and where a file lies. */
const COMMON_JS =
  "import { createRequire as __weirCreateRequire } from 'node:module'; const require = __weirCreateRequire(import.meta.url), __weirHere = import.meta.dirname;"

/** Where nobody reads source maps, a stack still says where to look. */
const LINE_CHARS = 200

/** What Nest would load for those who ask for it, and nobody here does: it is missing, as where it is not installed. */
const notAskedFor = {
  name: 'not-asked-for',
  setup({ onResolve, onLoad }) {
    const filter =
      /^(amqp-connection-manager|class-transformer|class-validator|file-type|ioredis|kafkajs|mqtt|@fastify\/(cors|middie|multipart|view)|@nats-io\/.*|@nestjs\/(platform-express|websockets).*)$/
    onResolve({ filter }, ({ path, kind, importer }) =>
      kind === 'dynamic-import' && importer.includes('/node_modules/@nestjs/')
        ? { path, namespace: 'not-asked-for' }
        : null,
    )
    onLoad({ filter: /.*/, namespace: 'not-asked-for' }, ({ path }) => ({
      contents: `throw Object.assign(new Error('${path} is not part of this program'), { code: 'ERR_MODULE_NOT_FOUND' })`,
    }))
  },
}

/** Read files from beside their code: they do so where the package is installed. */
const READERS = '@grpc/(?:grpc-js|reflection)|etcd3|grpc-health-check'
/** Name their own folder for threads that nobody here starts, and to shorten stacks. */
const NAMERS = 'ioredis|pino|thread-stream'

const besidePackages = {
  name: 'beside-packages',
  setup({ onLoad, onEnd }) {
    const filter = new RegExp(`/node_modules/(?:${READERS}|${NAMERS})/.*\\.js$`)
    onLoad({ filter }, async ({ path }) => {
      const [, name, file] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(path)
      const installed = `require('node:path').join(require.resolve('${name}/package.json'), '..', '${dirname(file)}')`
      const folder = new RegExp(`^(?:${READERS})$`).test(name) ? installed : '__weirHere'
      return { contents: (await readFile(path, 'utf8')).replaceAll('__dirname', folder) }
    })
    onEnd(async ({ metafile }) => {
      for (const output of Object.keys(metafile.outputs).filter((file) => file.endsWith('.js')))
        if (/\b__dirname\b/.test(await readFile(output, 'utf8')))
          throw new Error(
            `${output} has a package in it that looks for files beside its code: name it in besidePackages`,
          )
    })
  },
}

/** Nest asks for grpc-js at run time and would find a second one, to which the credentials of the first are none. */
const oneGrpc = {
  name: 'one-grpc',
  setup({ onLoad }) {
    const filter = /\/node_modules\/@nestjs\/microservices\/(client\/client|server\/server)-grpc\.js$/
    onLoad({ filter }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const asks = "createRequire(import.meta.url)('@grpc/grpc-js')"
      if (!text.includes(asks)) throw new Error(`${path} asks for grpc-js in a new way`)
      return { contents: text.replace(asks, "require('@grpc/grpc-js')") }
    })
  },
}

/** What the packages in the bundle are licensed under, in their own words: a copy of them has to bring it. */
const licences = {
  name: 'licences',
  setup({ initialOptions: { outdir }, onEnd }) {
    onEnd(async ({ metafile }) => {
      const inside = Object.keys(metafile.inputs).map(
        (path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0],
      )
      const texts = [...new Set(inside.filter(Boolean))].sort().map(async (folder) => {
        const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))
        const files = (await readdir(join(root, folder)))
          .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
          .sort()
        const own = await Promise.all(files.map((file) => readFile(join(root, folder, file), 'utf8')))
        return [`${name} ${version}: ${license}`, ...own.map((text) => text.trim())].join('\n\n')
      })
      const all = (await Promise.all(texts)).join(`\n\n${'-'.repeat(80)}\n\n`)
      await writeFile(resolve(root, outdir, 'LICENSES.txt'), `${all}\n`)
    })
  },
}

/**
 * Of a file that has one other character V8 keeps every character in two bytes, for as long as it runs: that of a comment cost a job-manager 5 MiB. Behind
 * esbuild they are left in regular expressions, which mean the same.
 */
const ascii = {
  name: 'ascii',
  setup({ initialOptions: { absWorkingDir }, onEnd }) {
    const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
    onEnd(async ({ metafile }) => {
      for (const output of Object.keys(metafile.outputs).filter((file) => file.endsWith('.js'))) {
        const file = resolve(absWorkingDir, output)
        const text = await readFile(file, 'utf8')
        // eslint-disable-next-line no-control-regex
        const plain = text.replace(/[^\x00-\x7f]/g, escaped)
        if (plain !== text) await writeFile(file, plain)
      }
    })
  },
}

/** @param {string[]} entryPoints JavaScript @param {string} outdir has nothing else in it afterwards */
export async function bundle(entryPoints, outdir, options = {}) {
  await rm(outdir, { recursive: true, force: true })
  await build({
    ...{ entryPoints, outdir, absWorkingDir: root },
    ...{ bundle: true, splitting: true, platform: 'node', format: 'esm', target: 'node24' },
    ...{ sourcemap: true, sourcesContent: false, legalComments: 'none', metafile: true },
    external: PACKAGES,
    banner: { js: COMMON_JS },
    plugins: [notAskedFor, besidePackages, oneGrpc, licences, ascii],
    // A file's text is in memory as long as its program.
    ...{ minifyWhitespace: true, lineLimit: LINE_CHARS },
    logLevel: 'warning',
    ...options,
  })
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.chdir(root)
  const program = async (app) => {
    await bundle([`apps/${app}/dist/program.js`], `apps/${app}/dist/bundled`)
    // What V8 compiled of the files before, under their names.
    await rm(`apps/${app}/.compiled`, { recursive: true, force: true })
  }
  await Promise.all(['job-manager', 'task-manager', 'cli'].map(program))
  const threads = ['slot', 'janitor'].map((name) => `apps/task-manager/dist/${name}.js`)
  await bundle(threads, 'apps/task-manager/dist/threads')
}
