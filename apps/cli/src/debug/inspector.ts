/** A debugger for this process: Chrome's, an editor's, or whatever speaks the inspector's protocol. On loopback, since it may run anything. */
import inspector from 'node:inspector'
import { WeirError } from '@weir/model'

export interface OpenInspector {
  readonly url: string
  close(): void
}

/**
 * Listens; the event loop stands until a debugger has attached and said that it is ready. @param told of the address, before. Throws
 * `DEBUG_PORT_TAKEN` (invalid).
 */
export function waitForDebugger(port: number, told: (url: string) => void): OpenInspector {
  inspector.open(port, '127.0.0.1', false)
  const url = inspector.url()
  if (url === undefined) {
    throw new WeirError(
      { code: 'DEBUG_PORT_TAKEN', kind: 'invalid', port },
      `port ${port} is taken: give another one with --inspect-port, or 0 for any`,
    )
  }
  told(url)
  inspector.waitForDebugger()
  return { url, close: () => inspector.close() }
}
