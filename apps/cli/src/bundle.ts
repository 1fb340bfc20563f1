/** A job file becomes one self-contained module, named by its digest. */
import type { CanarySettings, JobDefinition, Plan, Scratch } from '@weir/dataflow'
import { WeirError, digest, type Digest } from '@weir/model'
import { build, type BuildOptions, type Message } from 'esbuild'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface Bundle {
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly graphHash: string
  readonly plan: Plan
  /** Files it is made of, absolute, without those of packages. */
  readonly inputs: readonly string[]
}

/** How a job is run to see what it does: a function of the dataflow room changes its connectors, inside the bundle. */
export type TrialRun =
  /** `weir prove` */
  | { readonly by: 'onScratch'; readonly of: Scratch }
  /** `weir canary` */
  | { readonly by: 'onCanary'; readonly of: CanarySettings }

/** For what esbuild leaves as `require`: Node's own modules, in CommonJS packages. */
const REQUIRE =
  "import { createRequire as __weirCreateRequire } from 'node:module'; const require = __weirCreateRequire(import.meta.url);"
/** In esbuild's stand-in for `require`, there only where something calls it. Only then is the name free in the bundle. */
const CALLS_REQUIRE = 'Dynamic require of'

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex')

/**
 * Throws WeirError (invalid): `JOB_FILE_MISSING`, `PIPELINE_INVALID` (of a YAML file), `BUNDLE_FAILED` (with file, line, column), `BUNDLE_THROWS`,
 * `BUNDLE_NO_JOB`, and what the planner refuses. `run`: not as it is, null: as it is.
 */
export async function bundleJob(
  file: string,
  params: Readonly<Record<string, string>>,
  run: TrialRun | null = null,
): Promise<Bundle> {
  const entry = resolve(file)
  if (!existsSync(entry)) {
    throw new WeirError({ code: 'JOB_FILE_MISSING', kind: 'invalid', file }, `there is no file ${file}`)
  }
  const compiled = compile(await entryOf(file, params, run), isPipeline(file) ? {} : params)
  // esbuild is a process of its own: meanwhile the planner is loaded.
  const [{ bytes, inputs }, { planJob }] = await Promise.all([compiled, import('@weir/dataflow')])
  const plan = planJob(await load(bytes))
  return {
    bytes,
    digest: digest(sha256(bytes)),
    graphHash: sha256(plan.canonical),
    plan,
    inputs: [...new Set([entry, ...inputs])],
  }
}

/**
 * The same module, with a source map for where it will lie: a debugger finds the job's TypeScript by it. Throws `BUNDLE_FAILED` (invalid).
 */
export async function mappedBundle(
  file: string,
  params: Readonly<Record<string, string>>,
  outfile: string,
): Promise<Uint8Array> {
  const { bytes } = await compile(await entryOf(file, params, null), isPipeline(file) ? {} : params, outfile)
  return bytes
}

const isPipeline = (file: string): boolean => /\.ya?ml$/i.test(file)

async function moduleOf(file: string, params: Readonly<Record<string, string>>): Promise<string> {
  const { pipelineModule } = await import('./pipeline.ts')
  return pipelineModule(file, params)
}

/** The file itself, or a module around it. */
async function entryOf(
  file: string,
  params: Readonly<Record<string, string>>,
  run: TrialRun | null,
): Promise<Pick<BuildOptions, 'entryPoints' | 'stdin'>> {
  const around = (contents: string): Pick<BuildOptions, 'stdin'> => ({
    stdin: { contents, resolveDir: import.meta.dirname },
  })
  if (run === null) {
    return isPipeline(file) ? around(await moduleOf(file, params)) : { entryPoints: [resolve(file)] }
  }
  const job = isPipeline(file)
    ? (await moduleOf(file, params)).replace('export default', 'const job =')
    : `import job from ${JSON.stringify(resolve(file))}\n`
  return around(
    `import { ${run.by} } from '@weir/dataflow'\n${job}export default ${run.by}(job, ${JSON.stringify(run.of)})\n`,
  )
}

async function compile(
  entry: Pick<BuildOptions, 'entryPoints' | 'stdin'>,
  params: Readonly<Record<string, string>>,
  mappedAt: string | null = null,
): Promise<{ readonly bytes: Uint8Array; readonly inputs: readonly string[] }> {
  try {
    const options = {
      ...entry,
      ...(mappedAt !== null && { sourcemap: 'inline' as const, outfile: mappedAt }),
      bundle: true,
      write: false,
      metafile: true,
      platform: 'node',
      format: 'esm',
      target: 'node22',
      logLevel: 'silent',
      legalComments: 'none',
      // Names of operators and errors should be readable where they are thrown.
      keepNames: true,
      define: { __WEIR_PARAMS__: JSON.stringify(params) },
      conditions: ['@weir/source'],
    } satisfies BuildOptions & { write: false; metafile: true }
    const { outputFiles, metafile } = await build(options)
    const [output] = outputFiles
    const inputs = Object.keys(metafile.inputs)
      .filter((path) => path !== '<stdin>' && !path.includes('node_modules'))
      .map((path) => resolve(path))
    if (!output!.text.includes(CALLS_REQUIRE)) return { bytes: output!.contents, inputs }
    const { contents } = (await build({ ...options, banner: { js: REQUIRE } })).outputFiles[0]!
    return { bytes: contents, inputs }
  } catch (cause) {
    const { errors = [] } = cause as { errors?: Message[] }
    const first = errors[0]
    const at = first?.location ? `${first.location.file}:${first.location.line}:${first.location.column}: ` : ''
    throw new WeirError(
      { code: 'BUNDLE_FAILED', kind: 'invalid', errors: errors.length },
      `the job file cannot be bundled: ${at}${first?.text ?? String(cause)}`,
      { cause },
    )
  }
}

async function load(bytes: Uint8Array): Promise<JobDefinition> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-bundle-'))
  try {
    const path = join(dir, 'job.mjs')
    await writeFile(path, bytes)
    return await importJob(path)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** A bundle that lies somewhere. Throws `BUNDLE_THROWS`, `BUNDLE_NO_JOB` (invalid), and what the job's own functions refuse. */
export async function importJob(path: string): Promise<JobDefinition> {
  try {
    const exported = ((await import(pathToFileURL(path).href)) as { default?: Partial<JobDefinition> }).default
    if (exported?.kind === 'weir.job') return exported as JobDefinition
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'WeirError') throw cause
    throw new WeirError(
      { code: 'BUNDLE_THROWS', kind: 'invalid' },
      `the job file threw while it was loaded: ${(cause as Error).stack?.split('\n').slice(0, 3).join(' ') ?? String(cause)}`,
      { cause },
    )
  }
  throw new WeirError(
    { code: 'BUNDLE_NO_JOB', kind: 'invalid' },
    'the job file has no job as its default export: write `export default job(name, settings, build)`',
  )
}
