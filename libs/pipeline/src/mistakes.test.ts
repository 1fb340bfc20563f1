/** Every mistake is said where it is, with the line, and with what to do. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { DESCRIPTOR_SET } from './formats.fixture.ts'
import { inspectPipeline, parsePipeline } from './index.ts'

/** `§` stands in front of the character that is told; the mark is taken out. */
type Mistake = readonly [name: string, yaml: string, message: string | RegExp, remedy: string | RegExp]

const BASE64 = Buffer.from(DESCRIPTOR_SET).toString('base64')
const HEAD = 'version: 1\nname: p\n'
const SOURCE = `steps:
  - from: { kafka: { topic: t, value: Order } }
    uid: orders
`
const TYPES =
  'types:\n  Order: { id: string, amount: int, price: double, note: "string?", tags: list<string>, to: { city: string } }\n'
const OUT = '  - to: { kafka: out }\n'
const steps = (yaml: string): string => `${HEAD}${TYPES}${SOURCE}${yaml}`

const MISTAKES: readonly Mistake[] = [
  // YAML itself.
  ['a bracket that is open', `${HEAD}steps: [ {from: §`, /^YAML: /, /Close the quote or bracket/],
  [
    'a key that is there twice',
    `version: 1\nname: p\n§name: q\nsteps: []`,
    /^YAML: .*unique/,
    /Each key may be there once/,
  ],
  ['a tab', `${HEAD}steps:\n§\t- from: {}`, /^YAML: /, /./],
  ['no mapping', '§- a\n- b', 'a pipeline is a mapping', 'Begin with version: 1'],
  // The head.
  [
    'no version',
    `§name: p\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'version is missing',
    'is 1: the version of this language',
  ],
  ['another version', `version: §2\nname: p\n${SOURCE}${OUT}`.replace(', value: Order', ''), 'version is 1', /./],
  [
    'a name with capitals',
    `version: 1\nname: §My_Job\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'name is 1 to 63 of a-z',
    /./,
  ],
  [
    'an unknown key',
    `${HEAD}§setings: {}\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'there is no "setings" here',
    'Did you mean "settings"?',
  ],
  ['no steps', `${HEAD}steps: §[]`, 'steps has at least one step', /./],
  [
    'a setting that does not exist',
    `${HEAD}settings: { §paralelism: 2 }\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'there is no "paralelism" here',
    'Did you mean "parallelism"?',
  ],
  [
    'a nested setting that does not exist',
    `${HEAD}settings: { checkpoint: { §interval: 2 } }\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'there is no "interval" here',
    'intervalMs',
  ],
  [
    'a setting of another kind',
    `${HEAD}settings: { parallelism: §many }\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'parallelism is a number, and this is "many"',
    /./,
  ],
  [
    'a setting out of its bounds',
    `${HEAD}settings: { checkpoint: { intervalMs: §1 } }\n${SOURCE}${OUT}`.replace(', value: Order', ''),
    'SETTINGS_INVALID: checkpoint.intervalMs is 1',
    /./,
  ],
  // Types.
  [
    'a type that does not exist',
    `${HEAD}types: { Order: { id: §strng } }\n${SOURCE}${OUT}`,
    'there is no type "strng"',
    'Did you mean "string"?',
  ],
  [
    'a type that is part of itself',
    `${HEAD}types: { Order: { of: §Order } }\n${SOURCE}${OUT}`,
    'type Order is part of itself',
    'Write any',
  ],
  [
    'a field that is a word of CEL',
    `${HEAD}types: { Order: { in: §string } }\n${SOURCE}${OUT}`,
    '"in" cannot be a field',
    'Leave it out',
  ],
  ['a type with a small letter', `${HEAD}types: { §order: { id: string } }\n${SOURCE}${OUT}`, /order/, /./],
  // Parameters.
  [
    'a parameter that is not declared',
    steps('  - to: { kafka: "§${out}" }'),
    'there is no parameter "out"',
    'out: DEFAULT',
  ],
  [
    'a parameter in an expression',
    `${HEAD}params: { min: 5 }\n${TYPES}${SOURCE}  - filter: value.amount > §\${min}\n${OUT}`,
    'does not parse',
    'params.NAME',
  ],
  // Steps.
  ['a step that is a text', steps('  - §filter\n'), 'a step is a mapping', 'Write e.g.'],
  [
    'two steps in one',
    steps(`  - filter: value.amount > 0\n    §map: value.id\n${OUT}`),
    'a step is one of filter and map',
    'Begin a new step',
  ],
  ['no kind of step', steps(`  - §uid: x\n${OUT}`), 'a step says what it does', 'It has one of'],
  [
    'a step that is misspelt',
    steps(`  - §fliter: value.amount > 0\n${OUT}`),
    'there is no step "fliter"',
    'Did you mean "filter"?',
  ],
  [
    'the word of another system',
    steps(`  - §groupBy: value.id\n${OUT}`),
    'there is no step "groupBy"',
    'It is called keyBy.',
  ],
  ['code', steps(`  - §asyncMap: call\n${OUT}`), 'there is no step "asyncMap"', 'in TypeScript'],
  [
    'an unknown key of a step',
    steps(`  - filter: value.amount > 0\n    §id: paid\n${OUT}`),
    'there is no "id" here',
    /uid/,
  ],
  ['a uid with a space', steps(`  - filter: value.amount > 0\n    uid: §pa id\n${OUT}`), 'uid is 1 to 63', /./],
  [
    'a uid that is there twice',
    steps(`  - filter: value.amount > 0\n    uid: §orders\n${OUT}`),
    'there is a step "orders" above already',
    'a uid of its own',
  ],
  [
    'an input that does not exist',
    steps(`  - filter: value.amount > 0\n    input: §ordres\n${OUT}`),
    'there is no step "ordres" above',
    'Did you mean "orders"?',
  ],
  [
    'a step behind a sink',
    steps(`${OUT}  - §filter: value.amount > 0\n`),
    'is a sink: it puts nothing out',
    'input: orders',
  ],
  [
    'an input that is a sink',
    steps(`  - to: { kafka: out }\n    uid: out\n  - map: value.id\n    input: §out\n${OUT}`),
    '"out" is a sink',
    /./,
  ],
  ['no source', `${HEAD}steps:\n  - §filter: 1 > 0\n`, 'the first step reads nothing', 'Begin with a source'],
  [
    'a source that is not known',
    `${HEAD}steps:\n  - from: { §kafak: { topic: t } }\n${OUT}`,
    'there is no connector "kafak"',
    'Did you mean "kafka"?',
  ],
  [
    'a source without its topic',
    `${HEAD}steps:\n  - from: { §kafka: {} }\n${OUT}`,
    'topic is missing',
    'topic is a text',
  ],
  [
    'an option of a source that does not exist',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, §outOfOrdr: 5s } }\n${OUT}`,
    'there is no "outOfOrdr" here',
    'Did you mean "outOfOrder"?',
  ],
  [
    'options beside their connector',
    `${HEAD}steps:\n  - from: { kafka: {}, §topic: t }\n${OUT}`,
    'there is no connector "topic"',
    'below the connector',
  ],
  [
    'a type of records that does not exist',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, value: §Ordr } }\n${OUT}`,
    'there is no type "Ordr"',
    /json|string/,
  ],
  [
    'what is no duration',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, outOfOrder: §5 sec } }\n${OUT}`,
    'outOfOrder is a duration',
    /./,
  ],
  [
    'a secret in the file',
    `${HEAD}steps:\n  - from: { kafka: { topic: t } }\n  - to: { postgres: { table: a, columns: [a], url: §postgres://u:p@h/db } }\n`,
    'url names a variable or a file',
    /./,
  ],
  [
    'an option the API refuses',
    `${HEAD}steps:\n  - from: { datagen: { splits: §5000 } }\n${OUT}`,
    'OPTION_INVALID',
    /./,
  ],
  ['a sink as a text', steps('  - to: §out\n'), 'to names a connector', 'Write e.g. to: { kafka: orders }'],
  [
    'a key of every object',
    steps('  - map: { §__proto__: value.id, a: value.id }\n' + OUT),
    'there is no "__proto__" here',
    'another name',
  ],
  ['a map to nothing', steps('  - map: §{}\n' + OUT), 'no field is named', 'Name what'],
  // Graphs.
  [
    'state without a key',
    steps(`  - §reduce: { initial: 0, add: acc + 1 }\n    uid: n\n${OUT}`),
    'reduce works by key',
    'Put a keyBy step',
  ],
  [
    'no state behind a key',
    steps(`  - keyBy: value.id\n  - §map: value.id\n${OUT}`),
    'map stands behind a keyBy',
    'Behind a keyBy stands',
  ],
  [
    'state without a name',
    steps(`  - keyBy: value.id\n  - §reduce: { initial: 0, add: acc + 1 }\n${OUT}`),
    'keeps state, and has no uid',
    'Give the step a uid',
  ],
  [
    'a join of what has no key',
    steps(
      `  - filter: value.amount > 0\n    uid: a\n  - join: { left: §a, right: orders, window: { tumbling: 1s }, select: left.id }\n    uid: j\n${OUT}`,
    ),
    '"a" has no key',
    'keyBy steps',
  ],
  ['a union of one', steps(`  - union: §[orders]\n${OUT}`), 'union names at least two steps', /./],
  [
    'a side output that does not exist',
    steps(
      `  - keyBy: value.id\n  - window: { tumbling: 1s, fold: count }\n    uid: w\n${OUT}  - sideOutput: §lat\n    input: w\n${OUT}`,
    ),
    'there is no side output "lat"',
    'Did you mean "late"?',
  ],
  [
    'two windows in one',
    steps(`  - keyBy: value.id\n  - window: §{ tumbling: 1s, session: 2s, fold: count }\n${OUT}`),
    'tumbling and session are',
    /./,
  ],
  [
    'a session without a merge',
    steps(
      `  - keyBy: value.id\n  - window: { session: 2s, fold: { reduce: §{ initial: 0, add: acc + 1 } } }\n    uid: w\n${OUT}`,
    ),
    'merge is missing',
    'Add merge',
  ],
  [
    'an unknown fold',
    steps(`  - keyBy: value.id\n  - window: { tumbling: 1s, fold: §cout }\n${OUT}`),
    'fold is count',
    /./,
  ],
  [
    'a slide longer than its window',
    steps(`  - keyBy: value.id\n  - §window: { sliding: { size: 1s, every: 2s }, fold: count }\n    uid: w\n${OUT}`),
    'WINDOW_INVALID',
    /./,
  ],
  ['nothing is written', `${HEAD}${TYPES}${SOURCE}`.replace('steps:', '§steps:'), 'GRAPH_NO_SINK', /./],
  // Expressions.
  [
    'an unknown field',
    steps(`  - filter: value.§amout > 0\n${OUT}`),
    'Order has no field "amout"',
    'Did you mean "amount"?',
  ],
  [
    'an unknown field of a field',
    steps(`  - map: { c: value.to.§town }\n${OUT}`),
    'Order.to has no field "town"',
    'city',
  ],
  ['an unknown variable', steps(`  - filter: §amount > 0\n${OUT}`), 'there is no variable amount', 'value.amount'],
  ['a text without quotes', steps(`  - map: { kind: §paid }\n${OUT}`), 'there is no variable paid', '"paid"'],
  [
    'a filter that is no condition',
    steps(`  - filter: §value.amount\n${OUT}`),
    'a filter is true or false, and this is int',
    'Compare it',
  ],
  ['a key that is a record', steps(`  - keyBy: §value.to\n${OUT}`), 'a key is a text or a number', 'Name a field'],
  [
    'a key of an output that is a record',
    steps('  - to: { kafka: { topic: out, keyOf: §value.to } }\n'),
    'a key is a text or a number',
    'Name a field',
  ],
  ['a list that is none', steps(`  - flatMap: §value.id\n${OUT}`), 'flatMap needs a list', 'Make a list'],
  [
    'a sum of texts',
    steps(`  - keyBy: value.id\n  - aggregate: { s: { sum: §value.id } }\n    uid: a\n${OUT}`),
    'sum is of numbers',
    'Name a field that is a number',
  ],
  [
    'text and number',
    steps(`  - map: '"n" + §value.amount'\n${OUT}`.replace('§', '').replace(`'"n"`, `'§"n"`)),
    'no such overload: string + int',
    'Convert one side',
  ],
  ['one equals sign', steps(`  - filter: value.id §= "a"\n${OUT}`), 'does not parse', 'Equal is =='],
  ['a quote that is open', steps(`  - filter: value.id == §"a\n${OUT}`), 'does not parse', /CEL/],
  ['the clock', steps(`  - map: { at: §now() }\n${OUT}`), 'there is no function now(…)', 'eventTime'],
  [
    'a time zone',
    steps(`  - map: { at: '§timestamp(value.id).getHours("Europe/Berlin")' }\n${OUT}`.replace('§', '')).replace(
      "at: '",
      "at: '§",
    ),
    /no method .getHours|no function timestamp/,
    /./,
  ],
  [
    'an unknown function',
    steps(`  - map: { at: §siz(value.tags) }\n${OUT}`),
    'there is no function siz(…)',
    'Did you mean "size"?',
  ],
  [
    'a pattern that may never end',
    steps(`  - filter: §value.id.matches("(a+)+$")\n${OUT}`),
    'may never come to an end',
    'Write a simpler one',
  ],
  [
    'a pattern that is computed',
    steps(`  - filter: §value.id.matches(value.note)\n${OUT}`),
    'the pattern of matches is computed',
    'Write it as a text',
  ],
  [
    'a fold that becomes something else',
    steps(`  - keyBy: value.id\n  - reduce: { initial: { n: 0 }, add: §{ n: acc.n + 1, m: 1 } }\n    uid: r\n${OUT}`),
    'the fold begins as { n: int }',
    'the same fields',
  ],
  [
    'the last line of a block',
    steps(`  - filter: >-\n      value.amount > 0 &&\n      value.§amout < 9\n${OUT}`),
    'has no field "amout"',
    /./,
  ],
  [
    'a literal block',
    steps(`  - filter: |\n      value.amount > 0\n        && value.§amout < 9\n${OUT}`),
    'has no field "amout"',
    /./,
  ],
  [
    'in double quotes with an escape',
    steps(`  - filter: "value.id == \\"x\\" && value.§amout < 9"\n${OUT}`),
    'has no field "amout"',
    /./,
  ],
  // How topics are written, and where claims are kept.
  [
    'a format that is none',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: §avr } }\n${OUT}`,
    'format is json, { avro: SCHEMA }',
    /./,
  ],
  [
    'a schema of Avro that is none',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: §{ avro: { type: recrd, name: R } } } }\n${OUT}`,
    'SCHEMA_INVALID: no Avro schema: unknown type: "recrd"',
    'A schema of Avro is',
  ],
  [
    'a descriptor set that is no base64',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: { protobuf: { descriptorSet: §shop.proto, message: shop.Order } } } }\n${OUT}`,
    'descriptorSet is no base64',
    'buf build',
  ],
  [
    'a message that is not in the descriptor set',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: §{ protobuf: { descriptorSet: ${BASE64}, message: shop.Ordr } } } }\n${OUT}`,
    'the FileDescriptorSet has no message shop.Ordr',
    'It has: shop.Order.',
  ],
  [
    'a Protobuf message of a registry without its descriptor set',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: { registry: { url: "https://r", as: protobuf, schema: §shop.Order } } } }\n${OUT}`,
    'the schema of a Protobuf message is { descriptorSet: BASE64, message: NAME }',
    'buf build',
  ],
  [
    'a secret of the registry in the plan',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, format: { registry: { url: "https://r", auth: { token: §hunter2 } } } } }\n${OUT}`,
    'token names a variable or a file of the task-managers',
    /./,
  ],
  [
    'a header under a name that no expression can say',
    `${HEAD}steps:\n  - from: { kafka: { topic: t, headers: { §x-region: x-region } } }\n${OUT}`,
    'x-region',
    /./,
  ],
  [
    'a header that is a number',
    steps('  - to: { kafka: { topic: out, headers: { x-amount: §value.amount } } }\n'),
    'a header is a text, or null, and this is int',
    /./,
  ],
  [
    'the record beside its headers',
    `${HEAD}${TYPES}steps:\n  - from: { kafka: { topic: t, value: Order, headers: { region: x-region } } }\n  - filter: value.§amount > 0\n${OUT}`,
    'Record has no field "amount"',
    'There are: value, headers',
  ],
  [
    'PD as a URL',
    steps(`  - idempotent: { bizKey: value.id, store: { tikv: { pd: §["http://pd:2379"] } } }\n    uid: once\n${OUT}`),
    'which is no host:port (leave "http://" out)',
    /^/,
  ],
  [
    'tiers over a store that cannot be',
    steps(
      `  - idempotent: { bizKey: value.id, store: { tiered: { remote: { redis: { url: §"redis://h" } } } } }\n    uid: once\n${OUT}`,
    ),
    'url is env:NAME or file:/PATH',
    /^/,
  ],
]

test('there are enough of them', () => expect(MISTAKES.length).toBeGreaterThan(60))

test.each(MISTAKES)('%s', (_, marked, message, remedy) => {
  const at = marked.indexOf('§')
  expect(at).toBeGreaterThanOrEqual(0)
  const before = marked.slice(0, at).split('\n')
  const [problem, ...others] = inspectPipeline(marked.replace('§', '')).problems
  expect(problem).toBeDefined()
  const { line, column, excerpt } = problem!
  expect({ message: problem!.message, remedy: problem!.remedy }).toEqual({
    message: expect.stringMatching(message instanceof RegExp ? message : new RegExp(escaped(message))),
    remedy: expect.stringMatching(remedy instanceof RegExp ? remedy : new RegExp(escaped(remedy))),
  })
  expect({ line, column }).toEqual({ line: before.length, column: before.at(-1)!.length + 1 })
  const [shown, marker] = excerpt.split('\n')
  const whole = marked.replace('§', '').split('\n')[line - 1]!.replaceAll('\t', ' ')
  expect(shown!.slice(8)).toBe(whole.replace('hunter2', '[secret]').replace('postgres://u:p@h/db', '[secret]'))
  expect(marker!.indexOf('^') - 8).toBe(column - 1)
  expect(others.map((other) => other.message)).toEqual([])
})
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const registryWith = (auth: string, more = ''): string =>
  `${HEAD}steps:\n  - from: { kafka: { topic: t, format: { registry: { url: "https://r", auth: ${auth} } }${more} } }\n${OUT}`
test.each([
  ['a token', registryWith('{ token: hunter2 }')],
  ['a token that is a number', registryWith('{ token: 8123456 }')],
  ['a password beside a user', registryWith('{ username: env:U, password: "hunter2" }')],
  ['credentials in a form that is none', registryWith('{ tokn: hunter2 }')],
  ['credentials as one text', registryWith('hunter2')],
  ['another mistake on the line of a secret', registryWith('{ token: hunter2 }', ', outOfOrder: 5 sec')],
  ['a mistake behind a secret that was never looked at', registryWith('{ token: hunter2 }', ', tpoic: t')],
  ['a secret over several lines', registryWith('\n      { token:\n          hunter2 }')],
  ['a secret behind an alias', `x: &secret hunter2\n${registryWith('{ token: *secret }')}`],
  [
    'a parameter that is the secret',
    registryWith('{ token: "${t}" }').replace('steps:', 'params: { t: hunter2 }\nsteps:'),
  ],
  [
    'the certificate of a store',
    steps(`  - idempotent: { bizKey: value.id, store: { tikv: { pd: [a:1], tls: { ca: hunter2 } } } }\n${OUT}`),
  ],
  [
    'a URL with a password',
    steps(`  - idempotent: { bizKey: value.id, store: { redis: { url: "redis://:hunter2@h" } } }\n${OUT}`),
  ],
  ['a header of HTTP', steps(`  - to: { http: { url: https://h, authorization: Bearer hunter2 } }\n`)],
  ['a key that is there twice', registryWith('{ token: hunter2, token: hunter2 }')],
])('a secret is not repeated: %s', (_, yaml) => {
  const { problems } = inspectPipeline(yaml)
  expect(problems.length).toBeGreaterThan(0)
  expect(JSON.stringify(problems)).not.toMatch(/hunter2|8123456/)
})

test('all mistakes are told of at once, in their order, and what reads a wrong step is left alone', () => {
  const yaml = steps(
    `  - filter: value.amout > 0\n  - map: { a: value.b }\n  - filter: 1\n    input: orders\n  - to: { kafak: out }\n`,
  )
  expect(() => parsePipeline(yaml, 'p.yaml')).toThrow(
    expect.objectContaining({
      code: 'PIPELINE_INVALID',
      message: expect.stringMatching(
        /^3 mistakes in p\.yaml[^]*p\.yaml:8:19[^]*p\.yaml:10:13[^]*p\.yaml:12:11: there is no connector/,
      ),
    }) as Error,
  )
})

test('a parameter that is set to what it is not, or that is not there', () => {
  const yaml = `${HEAD}params:\n  rate: 5\n  on: true\nsteps:\n  - from: { kafka: { topic: t, recordsPerSecond: "\${rate}" } }\n${OUT}`
  const said = (params: Record<string, string>): string[] =>
    inspectPipeline(yaml, params).problems.map(({ line, message }) => `${line}: ${message}`)
  expect(said({ rate: '7', on: 'false' })).toEqual([])
  expect(said({ rate: 'x', on: 'yes', rat: '1' })).toEqual([
    '3: --set rat: there is no such parameter',
    '4: --set rate=x is not a decimal number',
    '5: --set on=yes is not true or false',
  ])
})

test('a text that is too long, and one whose aliases blow up, are refused', () => {
  expect(inspectPipeline('#'.repeat((1 << 20) + 1)).problems[0]!.message).toMatch(/characters/)
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [${'*a, '.repeat(20)}*a]\nc: &c [${'*b, '.repeat(20)}*b]\nd: [${'*c, '.repeat(20)}*c]`
  expect(inspectPipeline(bomb).problems[0]!.message).toMatch(/alias/i)
})

test('the pipeline of the README is right, and what it shows of a mistake is what is said', async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8')
  const [, yaml = ''] = /```yaml\n([^]*?)```/.exec(readme) ?? []
  const [, said = ''] = /```\n(orders\.yaml:[^]*?)```/.exec(readme) ?? []
  expect(inspectPipeline(yaml).problems).toEqual([])
  expect(() => parsePipeline(yaml.replace('value.status', 'value.staus'), 'orders.yaml')).toThrow(said.trimEnd())
})
