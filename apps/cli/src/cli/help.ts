/** What `weir --help` says. */
import { COMMANDS, EXIT_CODES, optionsOf, type Command } from './commands.ts'
import { COMMON, OPTIONS, REMOTE, type Option, type OptionName } from './options.ts'

const WIDTH = 31

export function help(commands: readonly Command[]): string {
  const [one] = commands
  return commands.length === 1 && one !== undefined ? ofOne(one) : ofMany(commands)
}

function ofMany(commands: readonly Command[]): string {
  const isAll = commands.length === COMMANDS.length
  return [
    ...(isAll ? ['weir – exactly-once stream processing', ''] : []),
    ...commands.map(({ name, args, about }) => columns(`weir ${name} ${args}`.trim(), about)),
    '',
    ...[...REMOTE, ...COMMON].map(optionLine),
    '',
    '`weir COMMAND --help` shows the options of a command.',
    ...exitLines(),
  ].join('\n')
}

function ofOne(command: Command): string {
  const { name, args, about, no, names } = command
  return [
    `weir ${name} ${args}`.trim(),
    `  ${about}`,
    '',
    ...optionsOf(command).map(optionLine),
    ...(names === undefined ? [] : ['', `${names.of}s:`, ...names.about.map(([one, what]) => columns(one, what))]),
    ...exitLines(no),
  ].join('\n')
}

function optionLine(name: OptionName): string {
  const { value, repeatable, about }: Option = OPTIONS[name]
  const text = `--${name}${value === undefined ? '' : ` ${value}`}`
  return columns(text, repeatable === true ? `${about} (repeatable)` : about)
}

const exitLines = (no?: string): readonly string[] => [
  '',
  'Exit codes:',
  ...EXIT_CODES.map(([code, what]) => `  ${code}  ${code === 1 && no !== undefined ? no : what}`),
]

function columns(left: string, right: string): string {
  return left.length < WIDTH ? `  ${left.padEnd(WIDTH)}${right}` : `  ${left}\n  ${' '.repeat(WIDTH)}${right}`
}
