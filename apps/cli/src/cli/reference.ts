/** docs/CLI.md, made of the table of commands: `npm run generate:cli`. */
import { COMMANDS, EXIT_CODES, optionsOf, type Command } from './commands.ts'
import { OPTIONS, type Option } from './options.ts'

export function reference(): string {
  const commands: readonly Command[] = COMMANDS
  return [
    '# The command line',
    '',
    '<!-- Made by `npm run generate:cli` from apps/cli/src/cli/commands.ts: change that. -->',
    '',
    'Results go to the standard output, notes, progress and errors to the other one. With `--json` results and errors are JSON: `{"code","kind","message","facts"}` of',
    'an error is stable in `code` and `kind`. Completions: `source <(weir completions bash)`; `weir completions zsh > "${fpath[1]}/_weir"`;',
    '`weir completions fish > ~/.config/fish/completions/weir.fish`.',
    '',
    '| exit code | meaning |',
    '|---|---|',
    ...EXIT_CODES.map(([code, what]) => `| ${code} | ${what} |`),
    '',
    '| command | |',
    '|---|---|',
    ...commands.map((one) => `| [\`${title(one)}\`](#${anchor(one)}) | ${one.about} |`),
    ...commands.flatMap(section),
    '',
  ].join('\n')
}

const title = ({ name, args }: Command): string => `weir ${name} ${args}`.trim().replaceAll('|', '\\|')
const anchor = ({ name }: Command): string => `weir-${name.replaceAll(' ', '-')}`

function section(command: Command): readonly string[] {
  const { name, args, about, no, names } = command
  return [
    '',
    `## weir ${name}`,
    '',
    `${sentence(about)}${no === undefined ? '' : ` Exit code 1: ${no}.`}`,
    '',
    '```text',
    `weir ${name} ${args}`.trim(),
    '```',
    '',
    '| option | |',
    '|---|---|',
    ...optionsOf(command).map((option) => {
      const { value, repeatable, about: what }: Option = OPTIONS[option]
      const text = `--${option}${value === undefined ? '' : ` ${value}`}`.replaceAll('|', '\\|')
      return `| \`${text}\` | ${what}${repeatable === true ? ' (repeatable)' : ''} |`
    }),
    ...(names === undefined
      ? []
      : ['', `| ${names.of} | |`, '|---|---|', ...names.about.map(([one, what]) => `| \`${one}\` | ${what} |`)]),
  ]
}

const sentence = (text: string): string => {
  const first = text.charAt(0).toUpperCase() + text.slice(1)
  return first.endsWith('?') ? first : `${first}.`
}
