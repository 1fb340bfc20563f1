// `npm run check:docs`: what the documents say is so. Every block of TypeScript in README.md and docs/ is type-checked, jobs in it are planned and tests in it are
// run; pipelines in YAML are validated; commands in shell blocks exist; links lead somewhere; and the site builds. Needs a build.
//
// A block is a module of its own, unless a comment above it says otherwise (no reader sees it):
//   <!-- code of PATH -->          lines of that file, in its order
//   <!-- code … -->                what stands in front of the block
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { pinnedNode, root } from '../setup.mjs'

const WORK = join(root, '.weir/docs-check')
const wrong = []
const walk = (folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => name.endsWith('.md') && !/node_modules|^reference\//.test(name))
    .map((name) => join(folder, name))
const withReadme = (folder) =>
  readdirSync(join(root, folder))
    .map((name) => `${folder}/${name}/README.md`)
    .filter((file) => existsSync(join(root, file)))
const ours = ['README.md', ...walk('docs')]
const all = [
  ...ours,
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...withReadme('libs'),
  ...withReadme('apps'),
  ...walk('deploy'),
  ...walk('test'),
]
const read = (file) => readFileSync(join(root, file), 'utf8')

/** @returns {{ file: string, line: number, language: string, code: string, comment: string | null }[]} */
function blocks(file) {
  const text = read(file)
  return [...text.matchAll(/(?:<!-- code\b([^]*?)-->\n\n?)?^```(\w*)[^\n]*\n([^]*?)^```$/gm)].map(
    ({ index, 0: whole, 1: comment = null, 2: language, 3: code }) => ({
      ...{ file, language, code, comment },
      line: text.slice(0, index + whole.indexOf('```')).split('\n').length,
    }),
  )
}

// 1. TypeScript.
rmSync(WORK, { recursive: true, force: true })
mkdirSync(WORK, { recursive: true })
const modules = []
for (const { file, line, language, code, comment } of ours.flatMap(blocks)) {
  if (language !== 'ts') continue
  const of = /^ of (\S+)\s*$/.exec(comment ?? '')?.[1]
  if (of !== undefined) {
    if (!existsSync(join(root, of))) wrong.push(`${file}:${line}: there is no ${of}`)
    else if (!isExcerpt(code, read(of))) wrong.push(`${file}:${line}: is no excerpt of ${of}`)
    continue
  }
  const isTest = /^test\(/m.test(code)
  const name = `${file.replaceAll(/[/.]/g, '_')}_${line}${isTest ? '.test' : ''}`
  // Imports of a module may stand anywhere in it.
  writeFileSync(join(WORK, `${name}.ts`), `// ${file}:${line}\n${comment ?? ''}\n${code}\nexport {}\n`)
  modules.push({ name, isTest, isJob: /^export default job\(/m.test(code) })
}
const jobs = modules.filter(({ isJob }) => isJob).map(({ name }) => name)
writeFileSync(
  join(WORK, 'plans.test.ts'),
  `import { planJob, type JobDefinition } from '@weir/dataflow'
import { expect, test } from 'vitest'
test.each(${JSON.stringify(jobs)})('%s is a job', async (name) => {
  const { default: job } = (await import(\`./\${name}.ts\`)) as { default: JobDefinition }
  expect(planJob(job).stages.length).toBeGreaterThan(0)
})
`,
)
const options = {
  composite: false,
  incremental: false,
  noEmit: true,
  allowImportingTsExtensions: true,
  rewriteRelativeImportExtensions: false,
}
writeFileSync(
  join(WORK, 'tsconfig.json'),
  JSON.stringify({ extends: '../../tsconfig.base.json', compilerOptions: options, include: ['*.ts'], exclude: [] }),
)
writeFileSync(
  join(WORK, 'vitest.config.mjs'),
  `const conditions = ['@weir/source', 'node']
export default { resolve: { conditions }, ssr: { resolve: { conditions } }, test: { include: ['*.test.ts'], testTimeout: 60_000 } }
`,
)
run('types of the code', ['node_modules/typescript-native/bin/tsc', '-p', WORK])
run('jobs and tests in the documents', ['node_modules/vitest/vitest.mjs', 'run', '--root', WORK])

// 2. Pipelines.
const { inspectPipeline } = await import('../../libs/pipeline/dist/index.js')
let pipelines = 0
for (const { file, line, language, code } of all.flatMap(blocks)) {
  if (language !== 'yaml' || !/^steps:/m.test(code)) continue
  pipelines++
  for (const problem of inspectPipeline(code).problems) wrong.push(`${file}:${line + problem.line}: ${problem.message}`)
}

// 3. Commands.
const { scripts } = JSON.parse(read('package.json'))
const template = JSON.parse(read('apps/create-weir/template/_package.json')).scripts
const help = execFileSync(pinnedNode(), ['apps/cli/dist/main.js', '--help'], { cwd: root }).toString()
const verbs = new Set([...help.matchAll(/^ +weir (\S+)/gm)].map(([, verb]) => verb).concat('help'))
for (const file of all) {
  const text = read(file)
  const at = (index) => `${file}:${text.slice(0, index).split('\n').length}`
  for (const { index, 1: name } of text.matchAll(/\bnpm run ([a-z][a-z:-]*)/g))
    if (!scripts[name] && !template[name]) wrong.push(`${at(index)}: there is no npm run ${name}`)
  for (const { index, 1: verb } of text.matchAll(/(?:^|`|npx )weir (?!bundle v1)([a-z][a-z-]+)\b/gm))
    if (!verbs.has(verb)) wrong.push(`${at(index)}: there is no weir ${verb}`)
}

// 4. Links.
let links = 0
for (const file of all) {
  const text = read(file).replaceAll(/^```[^]*?^```$/gm, (block) => block.replaceAll(/[^\n]/g, ' '))
  for (const { index, 1: target } of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    links++
    const [path, anchor] = target.split('#')
    const to = path === '' ? file : relative(root, resolve(root, dirname(file), path))
    const tell = (text) => wrong.push(`${file}:${read(file).slice(0, index).split('\n').length}: ${text}`)
    if (to.startsWith('docs/reference/')) continue // made by the build of the site, which looks itself
    if (!existsSync(join(root, to))) tell(`there is no ${to}`)
    else if (anchor && to.endsWith('.md') && !anchors(read(to)).has(anchor)) tell(`${to} has no heading #${anchor}`)
  }
}

// 5. The site, whose build fails for dead links.
if (!process.argv.includes('--no-site')) run('the site', ['tools/docs/build.mjs', '--built'])

for (const text of wrong) console.error(text)
console.log(
  `${all.length} documents, ${modules.length} blocks of TypeScript, ${pipelines} pipelines, ${links} links: ${wrong.length} things wrong`,
)
process.exitCode = wrong.length === 0 ? 0 : 1

function run(what, args) {
  try {
    execFileSync(pinnedNode(), args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
      maxBuffer: 64 << 20,
    })
  } catch (error) {
    wrong.push(`${what}:\n${[error.stdout, error.stderr].join('').slice(-6_000)}`)
  }
}

function isExcerpt(code, whole) {
  const lines = (text) =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  const [of, from] = [lines(code), lines(whole)]
  let at = 0
  return of.every((line) => (at = from.indexOf(line, at) + 1) > 0)
}

/** Of headings, as GitHub makes them; and names given by hand. */
function anchors(text) {
  const names = [...text.matchAll(/^#+ +(.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
  return new Set([...names, ...[...text.matchAll(/(?:id|name)="([^"]+)"/g)].map(([, id]) => id)])
}
