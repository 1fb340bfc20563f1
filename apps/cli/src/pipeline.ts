/** Pipelines: jobs in YAML. Their bundle holds what they say as JSON, beside the part of `@weir/pipeline` that makes a job of it. */
import { inspectPipeline, parsePipeline, usesBinaryFormats, type PlacedProblem } from '@weir/pipeline'
import { WeirError } from '@weir/model'
import { readFile } from 'node:fs/promises'

/**
 * The module that a bundle is made of. Parameters are set by now: the digest covers them.
 * Throws WeirError `PIPELINE_INVALID` (invalid) with all mistakes, `JOB_FILE_MISSING`.
 */
export async function pipelineModule(file: string, params: Readonly<Record<string, string>>): Promise<string> {
  const { resolved } = parsePipeline(await read(file), file, params)
  // A text that is parsed: as a literal, a key "__proto__" would be something else.
  const text = JSON.stringify(JSON.stringify(resolved))
  const jobOf = "import { jobOf } from '@weir/pipeline/job'\n"
  return usesBinaryFormats(resolved)
    ? `${jobOf}import { binaryFormats } from '@weir/pipeline/formats'\nexport default jobOf(JSON.parse(${text}), binaryFormats)\n`
    : `${jobOf}export default jobOf(JSON.parse(${text}))\n`
}

type Print = (value: unknown, text: string) => void

/** `weir validate`: @returns the exit code, 2 for a mistake in any of the files. */
export async function validate(
  files: readonly string[],
  params: Readonly<Record<string, string>>,
  print: Print,
): Promise<number> {
  const problems: (PlacedProblem & { readonly file: string })[] = []
  const fine: string[] = []
  for (const file of files) {
    const { parsed, problems: found } = inspectPipeline(await read(file), params)
    problems.push(...found.map((problem) => ({ file, ...problem })))
    if (parsed !== null) fine.push(`${file}: job "${parsed.job.name}", ${parsed.job.graph.nodes.length} operators`)
  }
  const said = problems.map(
    ({ file, line, column, message, excerpt, remedy }) =>
      `${file}:${line}:${column}: ${message}\n${excerpt}\n        ${remedy}\n`,
  )
  print({ ok: problems.length === 0, problems }, [...said, ...fine].join('\n'))
  return problems.length === 0 ? 0 : 2
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new WeirError({ code: 'JOB_FILE_MISSING', kind: 'invalid', file }, `there is no file ${file}`, { cause })
  }
}
