// The codes that Weir's errors, alerts, diagnoses and findings have, from the code: the reference of the site is made of them, and what documents say of codes,
// variables and metrics is held against them (errors.test.ts).
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../setup.mjs'
import { outward, parse, saidOf } from './said-of-codes.mjs'

const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/
/** Words in capitals that are no codes of Weir: of Kafka's protocol, of gRPC, of YAML's nodes; states; beginnings of codes. */
const OTHERS = new Set([
  ...['INVALID_TOPIC_EXCEPTION', 'RECORD_LIST_TOO_LARGE', 'INVALID_TIMESTAMP', 'INVALID_RECORD', 'MESSAGE_TOO_LARGE'],
  ...['UNKNOWN_TOPIC_OR_PARTITION', 'NOT_SERVING', 'SERVICE_UNKNOWN', 'IN_PROGRESS', 'NOT_STARTED', 'OBJECT_STORE'],
  ...['QUOTE_SINGLE', 'QUOTE_DOUBLE', 'LEVEL_LOCKED', 'LEVEL_CORRUPTION'],
])
const isVariable = (text) => /^(WEIR|OTEL|ERR|UV)_/.test(text)
/** Of one code. */
const TEXTS_MAX = 3
/** Where the names of a protocol stand beside its numbers. */
const NAMES_OF_OTHERS = /kafka\/src\/wire\/errors\.ts$/

/** Sources of what is delivered, without tests. */
export function sources() {
  const files = ['libs', 'apps'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)),
  )
  return files
    .filter((file) => /^\w+\/[\w-]+\/src\/.*\.tsx?$/.test(file) && !/\.(test|fixture)\.tsx?$|\/testing\//.test(file))
    .toSorted()
    .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
}

/**
 * By code, in order. `room`: of the first place; `kinds`: the duty of whoever has it (libs/model/src/errors.ts), or what else has it than an error; `texts`:
 * messages, `…` for what differs. None: the message is that of something else.
 */
export function errorCodes() {
  const found = new Map()
  for (const { file, text } of sources()) {
    if (!/'[A-Z][A-Z0-9_]+'/.test(text)) continue
    const source = parse(file, text)
    const visit = (node) => {
      if (ts.isStringLiteral(node) && isCode(node, file)) {
        const of = found.get(node.text) ?? { room: file.split('/')[1], kinds: new Set(), texts: new Set() }
        found.set(node.text, of)
        const { kinds, texts } = saidOf(node)
        for (const kind of kinds) of.kinds.add(kind)
        for (const text of texts) of.texts.add(text)
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** And no other word in capitals. */
function isCode(node, file) {
  const { parent } = outward(node)
  if (ts.isPropertyAssignment(parent) && parent.name.getText() === 'code') return /^[A-Z][A-Z0-9_]+$/.test(node.text)
  return CODE.test(node.text) && !isVariable(node.text) && !OTHERS.has(node.text) && !NAMES_OF_OTHERS.test(file)
}

/** Of metrics, as they are named where they are made. */
export function metricNames() {
  return new Set(sources().flatMap(({ text }) => [...text.matchAll(/\bweir_[a-z0-9_]+/g)].map(([name]) => name)))
}

/** A heading for each, so that a search finds it. @param escape what HTML would take for its own */
export function errorsPage(escape, codes = errorCodes()) {
  const entries = [...codes].flatMap(([code, { room, kinds, texts }], i, all) => [
    ...(code[0] === all[i - 1]?.[0][0] ? [] : [`## ${code[0]}`]),
    `### ${code}`,
    [
      [...kinds]
        .toSorted()
        .map((kind) => `\`${kind}\``)
        .join(' or '),
      `of ${room}`,
    ]
      .filter(Boolean)
      .join(', '),
    ...(texts.size === 0 ? ['Its message is that of what has failed.'] : []),
    ...[...texts].slice(0, TEXTS_MAX).map((text) => `> ${escape(text)}`),
  ])
  return [
    'Every error has a code, a kind, a message for people and facts for programs. Code and kind are stable, the words of a message are not (`…`: what differs). An error is a problem of ' +
      'REST ([REST.md](../REST.md)), a status of gRPC with the trailer `weir-error` ([GRPC.md](../GRPC.md)), and with `--json` the answer of a command ([CLI.md](../CLI.md)). Codes of ' +
      'alerts are in this list, too, of what `weir doctor` finds (`KAFKA_…`, `ETCD_…`, `OBJECTS_…`, `REDIS_…`, `POSTGRES_…`, `MACHINE_…`) and of what `weir verify` finds.',
    '| kind | what to do |\n|---|---|\n| `invalid` | change what was given: the same again fails again |\n| `retry` | ask again, later |\n| `restart` | nothing: the attempt is over, the job goes back to its last published epoch |\n| `fenced` | nothing: somebody newer decides |\n| `alert` | of a job that goes on: look at it |\n| `warning`, `unsafe` | of `weir doctor`, by how bad it is: what it says behind it |\n| `finding` | of `weir verify`: what is not as its receipt says |',
    ...entries,
  ].join('\n\n')
}
