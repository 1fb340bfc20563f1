/** What is wrong with a command line. */
import { WeirError } from '@weir/model'

const HINT = '`weir --help` shows what there is.'

export const usage = (why: string): WeirError => new WeirError({ code: 'USAGE', kind: 'invalid' }, `${why}. ${HINT}`)

/** With the help of the command it is about. */
export const usageOf = (name: string, error: WeirError): WeirError =>
  error.code === 'USAGE'
    ? new WeirError(error.facts, error.message.replace(HINT, `\`weir ${name} --help\` shows what it takes.`))
    : error

export function needed(argument: string | undefined, what: string): string {
  if (argument === undefined) throw usage(`${what} is missing`)
  return argument
}
