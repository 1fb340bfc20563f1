import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { COMMANDS, optionsOf, type Command } from './commands.ts'
import { completions } from './completions.ts'
import { help } from './help.ts'
import { OPTIONS } from './options.ts'
import { parse } from './parse.ts'
import { reference } from './reference.ts'

const run = (line: string) => {
  const parsed = parse(line.split(' '))
  if (parsed.kind !== 'run') throw new Error(`"${line}" is ${parsed.kind}`)
  return parsed
}

describe('a command line', () => {
  test('one word, two words, arguments and options wherever they stand', () => {
    expect(run('submit --set a=1 job.ts --set b=2')).toMatchObject({ name: 'submit', args: ['job.ts'] })
    expect(run('submit --set a=1 job.ts --set b=2').values.set).toEqual(['a=1', 'b=2'])
    expect(run('state get pay sum acc ada')).toMatchObject({ name: 'state get', args: ['pay', 'sum', 'acc', 'ada'] })
    expect(run('savepoints delete pay friday')).toMatchObject({ name: 'savepoints delete', args: ['pay', 'friday'] })
    expect(run('savepoints pay')).toMatchObject({ name: 'savepoints', args: ['pay'] })
    expect(run('--version --json')).toMatchObject({ name: 'version', values: { json: true } })
    expect(run('jobs').values).toMatchObject({ json: false, set: [], 'job-manager': undefined })
  })

  test.each([
    ['sbumit job.ts', 'there is no command "sbumit"; did you mean submit?'],
    ['state', 'state needs ls, get, diff or check'],
    ['dlq drop pay', 'there is no command "dlq drop": dlq needs list or replay'],
    ['jobs --from 3', '--from is no option of "weir jobs", it is of: submit, start'],
    ['jobs --frm', 'there is no option --frm; did you mean --from?'],
    ['rate pay -5', 'there is no option -5'],
    ['submit job.ts --id', "Option '--id <value>' argument missing"],
    ['help sbumit', 'there is no command "sbumit"; did you mean submit?'],
    ['submit', 'JOB.ts is missing: weir submit JOB.ts. `weir submit --help` shows what it takes.'],
    ['rate', 'JOB-ID is missing: weir rate JOB-ID N|none'],
    ['rate pay', 'N or none is missing'],
    ['describe', 'JOB-ID or JOB.ts is missing'],
    ['state get pay balance balance', 'KEY is missing: weir state get JOB-ID OPERATOR STATE KEY'],
    ['canary start pay', 'JOB.ts is missing'],
    ['dlq replay pay', 'ORIGIN or --all is missing'],
    ['validate', 'JOB.yaml is missing'],
    ['completions', 'bash or zsh or fish is missing'],
    ['jobs pay', '"pay" is one argument too many: weir jobs.'],
    ['cancel pay bills', '"bills" is one argument too many: weir cancel JOB-ID'],
    ['txn abort one two', '"two" is one argument too many'],
    ['logs pay bills', '"bills" is one argument too many: weir logs [JOB-ID]'],
  ])('%s: it is told what there is', (line, told) => {
    expect(() => parse(line.split(' '))).toThrow(
      expect.objectContaining({ code: 'USAGE', kind: 'invalid', message: expect.stringContaining(told) as string }),
    )
  })

  test('as many arguments as it is told to take, and no less', () => {
    for (const line of ['jobs', 'logs', 'logs pay', 'doctor', 'dlq replay pay --all', 'dlq replay pay a/0/1 a/0/2'])
      expect(run(line).kind).toBe('run')
    expect(run('dtxid parse 1 2 3').args).toEqual(['1', '2', '3'])
  })

  test.each<[string, string, boolean]>([
    ['', 'all', false],
    ['--help', 'all', true],
    ['help', 'all', true],
    ['-h', 'all', true],
    ['state --help', 'state ls,state get,state diff,state check', true],
    ['help dlq replay', 'dlq replay', true],
    ['submit --help', 'submit', true],
  ])('"%s" is help of %s', (line, of, asked) => {
    const parsed = parse(line === '' ? [] : line.split(' '))
    if (parsed.kind !== 'help') throw new Error(parsed.kind)
    const names = parsed.commands.map(({ name }) => name)
    expect(names.join()).toBe(of === 'all' ? COMMANDS.map(({ name }) => name).join() : of)
    expect(parsed.asked).toBe(asked)
  })
})

test('help of a command has its options and what its exit codes mean', () => {
  const text = help(COMMANDS.filter(({ name }) => name === 'doctor'))
  expect(text).toMatch(/^weir doctor \[JOB.ts\]\n/)
  expect(text).toContain('--profile PROFILE')
  expect(text).toContain('  1  something is unsafe')
  expect(text).not.toContain('--sign')
})

test('every option is of some command, every command of one or two words and of its own', () => {
  const commands: readonly Command[] = COMMANDS
  const used = new Set(commands.flatMap(optionsOf))
  expect([...used].sort()).toEqual(Object.keys(OPTIONS).sort())
  expect(new Set(commands.map(({ name }) => name)).size).toBe(commands.length)
  for (const { name } of commands) expect(name).toMatch(/^[a-z]+( [a-z]+)?$/)
})

test('docs/CLI.md is what the table says: npm run generate:cli', () => {
  const text = readFileSync(new URL('../../../../docs/CLI.md', import.meta.url), 'utf8')
  expect(text).toBe(reference())
})

describe('completions', () => {
  /** What bash would offer for the last word. */
  const offered = (...words: readonly string[]): readonly string[] => {
    const quoted = words.map((word) => `'${word}'`).join(' ')
    const script = `${completions('bash')}\nCOMP_WORDS=(weir ${quoted}); COMP_CWORD=${words.length}; _weir; printf '%s\\n' "\${COMPREPLY[@]}"`
    return execFileSync('bash', ['-c', script], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line !== '')
  }

  test('bash offers commands, second words, and the options of just that command', () => {
    expect(offered('sa')).toEqual(['savepoint', 'savepoints'])
    expect(offered('state', '')).toEqual(['ls', 'get', 'diff', 'check'])
    expect(offered('--json', 'dlq', 'r')).toEqual(['replay'])
    expect(offered('rate', 'pay', '5', '--m')).toEqual(['--min'])
    expect(offered('state', 'get', '--s')).toEqual(['--split'])
    expect(offered('jobs', '--s')).toEqual([])
  })

  test.each(['bash', 'zsh', 'fish'])('%s knows every command and every option', (shell) => {
    const script = completions(shell)
    for (const { name } of COMMANDS) for (const word of name.split(' ')) expect(script).toContain(word)
    for (const name of Object.keys(OPTIONS)) expect(script).toContain(shell === 'fish' ? `-l ${name}` : `--${name}`)
  })

  test('another shell', () => {
    expect(() => completions('tcsh')).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
