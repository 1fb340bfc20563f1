/** `weir dtxid`: what a transaction id says. Asks nobody. */
import { inspectDtxId, parseDtxId, type DtxIdForm } from '@weir/idempotency'
import { usage } from './usage.ts'

export interface DtxIdCommand {
  readonly verb: string | undefined
  readonly ids: readonly string[]
  readonly form: string | undefined
}

/** Throws `DTXID_INVALID` (invalid), naming the id and the rule. */
export function dtxid({ verb, ids, form }: DtxIdCommand, print: (value: unknown, text: string) => void): number {
  if (form !== undefined && form !== '63' && form !== '68') throw usage(`--form is "${form}"; give 63 or 68`)
  if (verb !== 'parse' && verb !== 'inspect') {
    throw usage(verb === undefined ? 'dtxid needs parse or inspect' : `there is no command "dtxid ${verb}"`)
  }
  if (ids.length === 0) throw usage('ID is missing')
  const all = ids.map((id) => (verb === 'parse' ? parsed(id, form) : inspected(id, form)))
  print(
    all.map(({ value }) => value),
    all.map(({ text }) => text).join('\n'),
  )
  return 0
}

/** The fields, in the order of their bits, ms since 2025 first. */
function parsed(id: string, form: DtxIdForm | undefined): { value: object; text: string } {
  const parts = parseDtxId(id, form)
  const { time, datacenter, worker, sequence } = parts
  return { value: { id, ...parts }, text: [id, time, datacenter, worker, sequence].join('\t') }
}

function inspected(id: string, form: DtxIdForm | undefined): { value: object; text: string } {
  const of = inspectDtxId(id, form)
  const where = `datacenter ${of.datacenter}, worker ${of.worker}, sequence ${of.sequence}`
  return { value: { id, ...of }, text: `${id}: ${of.form} bits, made ${of.at} (logical time), ${where}` }
}
