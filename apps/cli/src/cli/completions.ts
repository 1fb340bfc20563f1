/** Scripts that complete commands, their second words and their options, for three shells. Files where a file is meant. */
import { usage } from '../usage.ts'
import { COMMANDS, optionsOf, type Command } from './commands.ts'
import { OPTIONS, type Option } from './options.ts'

const ALL: readonly Command[] = COMMANDS
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
const takesFile = ({ args }: Command): boolean => args.includes('JOB.ts')

/** First words, each once, with what it does (of several: all their second words). */
const heads = (): readonly (readonly [word: string, about: string])[] =>
  [...new Set(ALL.map(({ name }) => name.split(' ')[0]!))].map((word) => {
    const own = ALL.find(({ name }) => name === word)
    return [
      word,
      own?.about ??
        verbsOf(word)
          .map(([verb]) => verb)
          .join(', '),
    ] as const
  })
const verbsOf = (head: string): readonly (readonly [verb: string, about: string])[] =>
  ALL.flatMap(({ name, about }) => (name.startsWith(`${head} `) ? [[name.slice(head.length + 1), about] as const] : []))

/** Throws `USAGE` (invalid). */
export function completions(shell: string | undefined): string {
  switch (shell) {
    case 'bash':
      return bash()
    case 'zsh':
      return zsh()
    case 'fish':
      return fish()
    default:
      throw usage(
        shell === undefined ? 'completions needs bash, zsh or fish' : `there are no completions for "${shell}"`,
      )
  }
}

function bash(): string {
  const cases = ALL.map((command) => {
    const options = optionsOf(command).map((name) => `--${name}`)
    return `    ${quoted(command.name)}) options=${quoted(options.join(' '))}; file=${takesFile(command) ? '1' : ''} ;;`
  })
  const verbs = heads().flatMap(([head]) => {
    const of = verbsOf(head).map(([verb]) => verb)
    return of.length === 0 ? [] : [`    ${quoted(head)}) verbs=${quoted(of.join(' '))} ;;`]
  })
  return `# bash completion of weir: source <(weir completions bash)
_weir() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" words=() word verbs='' options='' file='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ "$word" == -* ]] || words+=("$word")
  done
  COMPREPLY=()
  if ((\${#words[@]} == 0)) && [[ "$cur" != -* ]]; then
    COMPREPLY=($(compgen -W ${quoted([...heads().map(([word]) => word), 'help'].join(' '))} -- "$cur"))
    return
  fi
  case "\${words[0]}" in
${verbs.join('\n')}
  esac
  if [[ -n "$verbs" ]] && ((\${#words[@]} == 1)) && [[ "$cur" != -* ]]; then
    COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
    return
  fi
  for word in "\${words[0]} \${words[1]}" "\${words[0]}"; do
    case "$word" in
${cases.join('\n')}
    esac
    [[ -n "$options" ]] && break
  done
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n "$file" ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _weir weir
`
}

function zsh(): string {
  const described = (of: readonly (readonly [string, string])[]): string =>
    of.map(([word, about]) => quoted(`${word}:${about.replaceAll(':', '\\:')}`)).join(' ')
  const argument = (command: Command): readonly string[] => [
    ...optionsOf(command).map((name) => {
      const { value, repeatable, about }: Option = OPTIONS[name]
      const text = about.replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' ')
      return quoted(
        `${repeatable === true ? '*' : ''}--${name}[${text}]${value === undefined ? '' : `:${value.replaceAll(':', '\\:')}:`}`,
      )
    }),
    quoted(takesFile(command) ? '*:file:_files' : '*:argument:'),
  ]
  const arm = (command: Command): string => `    ${quoted(command.name)}) _arguments ${argument(command).join(' ')} ;;`
  const verbs = heads().flatMap(([head]) => {
    const of = verbsOf(head)
    return of.length === 0 ? [] : [`    ${quoted(head)}) verbs=(${described(of)}) ;;`]
  })
  return `#compdef weir
_weir() {
  local -a heads verbs plain
  local word
  heads=(${described(heads())})
  for word in "\${(@)words[2,CURRENT-1]}"; do [[ "$word" == -* ]] || plain+=("$word"); done
  if (( \${#plain} == 0 )) && [[ "\${words[CURRENT]}" != -* ]]; then _describe command heads; return; fi
  case "\${plain[1]}" in
${verbs.join('\n')}
  esac
  if (( \${#verbs} > 0 && \${#plain} == 1 )) && [[ "\${words[CURRENT]}" != -* ]]; then _describe verb verbs; return; fi
  case "\${plain[1]} \${plain[2]}" in
${ALL.filter(({ name }) => name.includes(' '))
  .map(arm)
  .join('\n')}
    *) case "\${plain[1]}" in
${ALL.filter(({ name }) => !name.includes(' '))
  .map((one) => `  ${arm(one)}`)
  .join('\n')}
    esac ;;
  esac
}
compdef _weir weir
`
}

function fish(): string {
  const lines = ['# fish completion of weir', 'complete -c weir -f']
  const names = heads().map(([word]) => word)
  for (const [word, about] of heads()) {
    lines.push(
      `complete -c weir -n "not __fish_seen_subcommand_from ${names.join(' ')}" -a ${word} -d ${quoted(about)}`,
    )
    for (const [verb, what] of verbsOf(word)) {
      const unseen = verbsOf(word)
        .map(([one]) => one)
        .join(' ')
      lines.push(
        `complete -c weir -n "__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${unseen}" -a ${verb} -d ${quoted(what)}`,
      )
    }
  }
  for (const command of ALL) {
    const seen = command.name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ')
    if (takesFile(command)) lines.push(`complete -c weir -n "${seen}" -F`)
    for (const name of optionsOf(command)) {
      const { value, about }: Option = OPTIONS[name]
      lines.push(`complete -c weir -n "${seen}" -l ${name}${value === undefined ? '' : ' -r'} -d ${quoted(about)}`)
    }
  }
  return `${lines.join('\n')}\n`
}
