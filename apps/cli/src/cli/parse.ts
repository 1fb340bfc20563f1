/** A command line becomes a command with its arguments and options. Pure. */
import { parseArgs } from 'node:util'
import { nearest } from '@weir/model'
import { usage, usageOf } from '../usage.ts'
import { COMMANDS, optionsOf, type Command, type CommandName } from './commands.ts'
import { OPTIONS, type Option, type OptionName, type Values } from './options.ts'

export type Parsed =
  | { readonly kind: 'run'; readonly name: CommandName; readonly args: readonly string[]; readonly values: Values }
  /** Of `commands`, all or those that begin so. `asked`: nobody forgot anything. */
  | { readonly kind: 'help'; readonly commands: readonly Command[]; readonly asked: boolean }

const ALL: readonly Command[] = COMMANDS

/** Throws `USAGE` (invalid), naming what there is instead. */
export function parse(argv: readonly string[]): Parsed {
  // What every command line tool answers to; no command takes an option of that name.
  const { given, values, positionals } = split(argv[0] === '--version' ? ['version', ...argv.slice(1)] : argv)
  const [first, ...others] = positionals[0] === 'help' ? positionals.slice(1) : positionals
  const asked = values.help || positionals[0] === 'help'
  if (first === undefined) return { kind: 'help', commands: ALL, asked }
  const command = found(first, others[0])
  if (asked) {
    const of = command === null ? ALL.filter(({ name }) => name.startsWith(`${first} `)) : [command]
    if (of.length === 0) throw unknown(first, others[0])
    return { kind: 'help', commands: of, asked }
  }
  if (command === null) throw unknown(first, others[0])
  const foreign = given.find((name) => !optionsOf(command).includes(name))
  if (foreign !== undefined) {
    const takers = ALL.filter((one) => optionsOf(one).includes(foreign)).map(({ name }) => name)
    throw usage(`--${foreign} is no option of "weir ${command.name}", it is of: ${takers.join(', ')}`)
  }
  const args = command.name.includes(' ') ? others.slice(1) : others
  checkArgs(command, args, values)
  return { kind: 'run', name: command.name as CommandName, args, values }
}

/** As many as the command takes: one that is too many would be left undone without a word. */
function checkArgs({ name, args: told }: Command, args: readonly string[], values: Values): void {
  const refuse = (why: string): Error => usageOf(name, usage(`${why}: weir ${name} ${told}`.trimEnd()))
  const takes = told.split(' ').filter((one) => one !== '')
  const missing = takes.find((one, i) => args[i] === undefined && !one.startsWith('['))
  if (missing !== undefined && !(missing.endsWith('|--all') && values.all))
    throw refuse(`${missing.replace('…', '').replaceAll('|', ' or ')} is missing`)
  const extra = args[takes.length]
  if (extra !== undefined && !takes.some((one) => one.includes('…')))
    throw refuse(`"${extra}" is one argument too many`)
}

/** The longest name that fits. */
const found = (first: string, second: string | undefined): Command | null =>
  ALL.find(({ name }) => name === `${first} ${second}`) ?? ALL.find(({ name }) => name === first) ?? null

function unknown(first: string, second: string | undefined): Error {
  const verbs = ALL.flatMap(({ name }) => (name.startsWith(`${first} `) ? [name.slice(first.length + 1)] : []))
  if (verbs.length === 0)
    return usage(
      `there is no command "${first}"${meant(
        first,
        ALL.map(({ name }) => name),
      )}`,
    )
  const needs = `${first} needs ${verbs.slice(0, -1).join(', ')} or ${verbs.at(-1)}`
  return usage(second === undefined ? needs : `there is no command "${first} ${second}": ${needs}`)
}

function split(argv: readonly string[]): {
  readonly given: readonly OptionName[]
  readonly values: Values
  readonly positionals: readonly string[]
} {
  const all = Object.entries<Option>(OPTIONS)
  const options = Object.fromEntries(
    all.map(([name, { value, repeatable }]) => {
      const type = value === undefined ? ('boolean' as const) : ('string' as const)
      return [name, { type, multiple: repeatable === true, ...(name === 'help' && { short: 'h' }) }]
    }),
  )
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true })
    const given = Object.keys(values) as OptionName[]
    const nothing = all.map(([name, { value, repeatable }]) => {
      return [name, repeatable === true ? [] : value === undefined ? false : undefined]
    })
    return { given, positionals, values: { ...Object.fromEntries(nothing), ...values } as unknown as Values }
  } catch (error) {
    const { code = '', message } = error as { readonly code?: string; readonly message: string }
    if (!code.startsWith('ERR_PARSE_ARGS')) throw error
    const [, option] = /^Unknown option '(.*?)'/.exec(message) ?? []
    if (option === undefined) throw usage(message.replace(/\.$/, ''))
    const near = meant(option.replace(/^-+/, ''), Object.keys(OPTIONS), '--')
    throw usage(`there is no option ${option}${near}`)
  }
}

function meant(name: string, names: readonly string[], before = ''): string {
  const near = nearest(name, names)
  return near === null ? '' : `; did you mean ${before}${near}?`
}
