/** Server-sent events, as they come in. */

export interface ServerEvent {
  /** Empty: the stream says none. */
  readonly id: string
  readonly type: string
  readonly data: string
}

export async function* eventsIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true })
    const blocks = rest.split('\n\n')
    rest = blocks.pop()!
    for (const block of blocks) {
      const event = eventIn(block)
      if (event !== null) yield event
    }
  }
}

/** Null: a comment, with which a stream says that it lives. */
function eventIn(block: string): ServerEvent | null {
  const fields: Record<string, string> = {}
  const data: string[] = []
  for (const line of block.split('\n')) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? []
    if (name === 'data') data.push(value!)
    else if (name !== undefined) fields[name] = value!
  }
  if (data.length === 0) return null
  return { id: fields['id'] ?? '', type: fields['event'] ?? 'message', data: data.join('\n') }
}
