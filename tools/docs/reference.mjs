// The reference part of the docs, from what there is: docstrings of the SDK, the OpenAPI description and the metrics of a fleet that runs a
// job, .proto files and the schemas of pipelines (docs/CLI.md is kept). Written to docs/reference, which is not kept. Needs a build.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pinnedNode, root } from '../setup.mjs'
import { errorsPage } from './errors.mjs'

const REFERENCE = join(root, 'docs/reference')
const JOB = 'apps/examples/src/02-payments.ts'
const TOPICS = ['payment-sums', 'payment-counts']
const weir = (...args) => execFileSync(pinnedNode(), ['apps/cli/dist/main.js', ...args], { cwd: root }).toString()

export async function writeReference() {
  rmSync(REFERENCE, { recursive: true, force: true })
  mkdirSync(REFERENCE, { recursive: true })
  const write = (name, title, text, head = '') =>
    writeFileSync(join(REFERENCE, name), `${head}# ${title}\n\n${text.trim()}\n`)
  write('pipelines.md', 'Pipelines in YAML', await pipelines())
  write('grpc.md', 'gRPC', grpc())
  write('errors.md', 'Error codes', errorsPage(html), '---\noutline: 2\n---\n\n')
  const { openapi, metrics } = await fromFleet()
  write('rest.md', 'REST', rest(openapi))
  write('metrics.md', 'Metrics', metricsTable(metrics))
  sdk()
}

async function pipelines() {
  const { LIBRARY, STEP_KINDS, stepKinds } = await import('../../libs/pipeline/dist/index.js')
  const rows = STEP_KINDS.map((kind) => `| \`${kind}\` | ${cell(stepKinds[kind].description ?? '')} |`)
  return [
    'Every step has one of these keys, and may have `uid` and `input`. The JSON Schema for editors is at `/schemas/pipeline.json` of a job-manager.',
    `| step | |\n|---|---|\n${rows.join('\n')}`,
    '## What an expression may call',
    `Functions: ${LIBRARY.functions.map((name) => `\`${name}\``).join(', ')}. Methods: ${LIBRARY.methods.map((name) => `\`.${name}\``).join(', ')}.`,
  ].join('\n\n')
}

/** Services with their calls, messages with their fields, with the comments above them. */
function grpc() {
  const folder = join(root, 'proto/weir/v1')
  return readdirSync(folder)
    .filter((name) => name.endsWith('.proto'))
    .map((name) => `## ${name}\n\n\`\`\`proto\n${readFileSync(join(folder, name), 'utf8').trimEnd()}\n\`\`\``)
    .join('\n\n')
}

async function fromFleet() {
  const { LogClient } = await import('@weir/connectors')
  const { EmbeddedFleet } = await import('../../apps/cli/dist/embedded-fleet.js')
  const fleet = await EmbeddedFleet.start({ taskManagers: 1, slots: 4 })
  try {
    const { grpc: address, http, log: logAddress } = fleet.manager.ready
    const log = new LogClient(logAddress)
    for (const topic of TOPICS) await log.createTopic(topic, 4)
    log.close()
    weir('submit', JOB, '--set', 'parallelism=2', '--job-manager', address)
    // A checkpoint behind it has told all there is to tell.
    const view = async () => (await fetch(`http://${http}/api/v1/jobs/payments`)).json()
    for (let i = 0; i < 300 && !((await view()).finalEpoch > 0); i++)
      await new Promise((resolve) => setTimeout(resolve, 100))
    const text = async (path, of = http) => (await fetch(`http://${of}/${path}`)).text()
    const [task] = fleet.taskManagers
    return {
      openapi: JSON.parse(await text('docs-json')),
      metrics: { 'job-manager': await text('metrics'), 'task-manager': await text('metrics', task.ready.http) },
    }
  } finally {
    await fleet.stop()
  }
}

function rest({ info, paths, components }) {
  const parts = [
    `${info.description} The description is at \`/docs-json\` (OpenAPI 3.1), to be tried at \`/docs\`. [REST.md](../REST.md) has what all calls have in common.`,
  ]
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { summary, description, parameters = [], requestBody, responses }] of Object.entries(methods)) {
      parts.push(
        `## ${method.toUpperCase()} ${path.replaceAll('{', '\\{').replaceAll('}', '\\}')}`,
        [summary, description].filter(Boolean).map(html).join('. '),
      )
      if (parameters.length > 0)
        parts.push(
          `| parameter | in | |\n|---|---|---|\n${parameters.map(({ name, in: where, required, description: of = '', schema }) => `| \`${name}\`${required ? '' : ' (optional)'} | ${where} | ${cell([of, typeOf(schema)].filter(Boolean).join('; '))} |`).join('\n')}`,
        )
      const body = requestBody?.content?.['application/json']?.schema
      if (body) parts.push(`Body: ${typeOf(body)}`)
      const answers = Object.entries(responses).map(
        ([status, { description: of = '', content }]) =>
          `| ${status} | ${cell([of, typeOf(Object.values(content ?? {})[0]?.schema)].filter(Boolean).join('; '))} |`,
      )
      parts.push(`| answer | |\n|---|---|\n${answers.join('\n')}`)
    }
  }
  parts.push('## Shapes')
  for (const [name, { properties = {}, required = [] }] of Object.entries(components?.schemas ?? {})) {
    const rows = Object.entries(properties).map(
      ([field, of]) =>
        `| \`${field}\`${required.includes(field) ? '' : ' (optional)'} | ${cell(typeOf(of))} | ${cell(of.description ?? '')} |`,
    )
    parts.push(`### ${name}`, rows.length === 0 ? 'JSON.' : `| field | type | |\n|---|---|---|\n${rows.join('\n')}`)
  }
  return parts.filter((part) => part !== '').join('\n\n')
}

function typeOf(schema) {
  if (!schema) return ''
  if (schema.$ref) return `[${schema.$ref.split('/').at(-1)}](#${schema.$ref.split('/').at(-1).toLowerCase()})`
  if (schema.anyOf || schema.oneOf) return (schema.anyOf ?? schema.oneOf).map(typeOf).join(' or ')
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema.type === 'array') return `list of ${typeOf(schema.items)}`
  return [schema.type].flat().filter(Boolean).join(' or ')
}

/** From the exposition format: name, kind, help, labels. */
function metricsTable(texts) {
  const parts = ['Of processes that run a job, at `/metrics`. A metric that has nothing to tell yet is not there.']
  for (const [process, text] of Object.entries(texts)) {
    const rows = []
    for (const [, name, help] of text.matchAll(/^# HELP (\S+) (.*)$/gm)) {
      if (!name.startsWith('weir_')) continue
      const kind = new RegExp(`^# TYPE ${name} (\\S+)`, 'm').exec(text)?.[1] ?? ''
      const labels = new Set(
        [...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*?)\\}`, 'gm'))].flatMap(([, of]) =>
          [...of.matchAll(/(\w+)="/g)].map(([, label]) => label),
        ),
      )
      labels.delete('le')
      rows.push(`| \`${name}\` | ${kind} | ${[...labels].map((label) => `\`${label}\``).join(', ')} | ${cell(help)} |`)
    }
    parts.push(`## ${process}`, `| metric | kind | labels | |\n|---|---|---|---|\n${rows.join('\n')}`)
  }
  return parts.join('\n\n')
}

const html = (text) => text.replaceAll('<', '&lt;').replaceAll('{{', '{ {')
const cell = (text) => html(text).replaceAll('|', '\\|').replaceAll('\n', ' ')

/** Docstrings of what a job imports. */
function sdk() {
  const args = [
    'node_modules/typedoc/bin/typedoc',
    ...[
      '--plugin',
      'typedoc-plugin-markdown',
      '--entryPoints',
      'libs/sdk/src/index.ts',
      '--entryPoints',
      'libs/sdk/src/testing/index.ts',
    ],
    ...[
      '--tsconfig',
      'libs/sdk/tsconfig.json',
      '--out',
      'docs/reference/sdk',
      '--readme',
      'none',
      '--name',
      'SDK',
      '--disableSources',
    ],
    ...[
      '--skipErrorChecking',
      '--excludePrivate',
      '--excludeInternal',
      '--hideBreadcrumbs',
      '--hidePageHeader',
      '--logLevel',
      'Error',
    ],
    ...['--router', 'module', '--sanitizeComments', '--useHTMLEncodedBrackets'],
  ]
  execFileSync(pinnedNode(), args, { cwd: root, stdio: ['ignore', 2, 2] })
  const folder = join(REFERENCE, 'sdk')
  rmSync(join(folder, 'README.md'))
  for (const [name, title] of [
    ['index.md', 'SDK'],
    ['testing.md', 'SDK: tests of jobs'],
  ])
    writeFileSync(join(folder, name), readFileSync(join(folder, name), 'utf8').replace(/^# \w+$/m, `# ${title}`))
}
