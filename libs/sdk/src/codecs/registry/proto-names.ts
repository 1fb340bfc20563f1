/**
 * Which messages a writer's .proto file has, in their order: Confluent's format names the one of a record by its index among
 * its siblings, level by level. Only names and nesting are read; the job's own type reads the record.
 */
import { fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, type DescriptorProto } from '@bufbuild/protobuf/wkt'
import { WeirError } from '@weir/model'
import { messageOf } from '../codec.ts'

interface Scope {
  readonly messages: Message[]
}
interface Message extends Scope {
  readonly name: string
}

const TOKENS = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[A-Za-z_][\w.]*|[{};=]|[^\s]/g

/** Full name by `0`, `0.1`, … Throws `SCHEMA_INVALID` (invalid). The schema is .proto text, or a FileDescriptorProto in base64. */
export function messageNames(schema: string): ReadonlyMap<string, string> {
  const { packageName, messages } = /^[A-Za-z0-9+/]+=*$/.test(schema.trim()) ? fromDescriptor(schema) : fromText(schema)
  const names = new Map<string, string>()
  const visit = (all: readonly Message[], path: string, prefix: string): void =>
    all.forEach(({ name, messages: inner }, i) => {
      names.set(path + String(i), prefix + name)
      visit(inner, `${path}${i}.`, `${prefix}${name}.`)
    })
  visit(messages, '', packageName === '' ? '' : `${packageName}.`)
  if (names.size === 0) throw invalid('the file has no message')
  return names
}

interface File extends Scope {
  readonly packageName: string
}

function fromText(text: string): File {
  const tokens = (text.match(TOKENS) ?? []).filter((t) => !/^(\/\/|\/\*)/.test(t))
  const file: Scope = { messages: [] }
  const open: Scope[] = [file]
  let packageName = ''
  // The words since the last `;`, `{` or `}` tell what a brace opens.
  let words: string[] = []
  for (const token of tokens) {
    if (token === '{') {
      const name = messageName(words)
      if (name === null) open.push({ messages: [] })
      else {
        const message = { name, messages: [] }
        open.at(-1)!.messages.push(message)
        open.push(message)
      }
    } else if (token === '}') {
      if (open.length === 1) throw invalid('a } too many')
      open.pop()
    } else if (token === ';') {
      if (words[0] === 'package' && open.length === 1) packageName = words[1] ?? ''
    } else {
      words.push(token)
      continue
    }
    words = []
  }
  if (open.length > 1) throw invalid('a } is missing')
  return { packageName, messages: file.messages }
}

/** `message Name {`, and `optional group Name = 1 {`, which is a message too. */
function messageName(words: readonly string[]): string | null {
  if (words[0] === 'message' && words.length === 2) return words[1]!
  const group = words.indexOf('group')
  return group >= 0 && words[group + 2] === '=' ? words[group + 1]! : null
}

function fromDescriptor(base64: string): File {
  try {
    const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, 'base64'))
    const messageIn = ({ name, nestedType }: DescriptorProto): Message => ({
      name,
      // Entries of maps are no messages anybody has written down.
      messages: nestedType.filter(({ options }) => options?.mapEntry !== true).map(messageIn),
    })
    return { packageName: file.package, messages: file.messageType.map(messageIn) }
  } catch (cause) {
    throw invalid(messageOf(cause))
  }
}

const invalid = (why: string): WeirError =>
  new WeirError({ code: 'SCHEMA_INVALID', kind: 'invalid' }, `no Protobuf schema: ${why}`)
