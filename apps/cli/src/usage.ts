/** What is wrong with a command line. */
import { WeirError } from '@weir/model'

export const usage = (why: string): WeirError =>
  new WeirError({ code: 'USAGE', kind: 'invalid' }, `${why}. \`weir --help\` shows what there is.`)

export function needed(argument: string | undefined, what: string): string {
  if (argument === undefined) throw usage(`${what} is missing`)
  return argument
}
