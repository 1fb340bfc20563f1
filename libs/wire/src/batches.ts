/**
 * What is written to a control stream in one turn of the event loop travels as one message. A checkpoint of 10,000 subtasks
 * is 40,000 messages; what each costs is mostly the call, not its bytes. Order is kept, and both ends of the conversation
 * (fleet-server.ts, fleet-client.ts) still read and write one message at a time.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { control } from '@weir/proto'
import type { FleetCall } from './fleet-server.ts'
import type { FleetStream } from './fleet-client.ts'

export const BATCH_MESSAGES_MAX = 256
/** Of snapshots: everything else is small. A larger one travels alone. */
export const BATCH_BYTES_MAX = 1 << 20

/** Collects until the turn ends or a batch is full. */
export class Outbox<M> {
  readonly #send: (messages: readonly M[]) => void
  readonly #bytesOf: (message: M) => number
  #waiting: M[] = []
  #bytes = 0

  constructor(send: (messages: readonly M[]) => void, bytesOf: (message: M) => number) {
    this.#send = send
    this.#bytesOf = bytesOf
  }

  write(message: M): void {
    const bytes = this.#bytesOf(message)
    if (this.#waiting.length >= BATCH_MESSAGES_MAX || this.#bytes + bytes > BATCH_BYTES_MAX) this.flush()
    this.#bytes += bytes
    if (this.#waiting.push(message) === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    if (this.#waiting.length === 0) return
    const messages = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    this.#send(messages)
  }

  /** Nobody reads any more. */
  clear(): void {
    this.#waiting = []
    this.#bytes = 0
  }
}

export type JoinCall = ServerDuplexStream<control.Report, control.Command>

/** The job-manager's end of a Join call. */
export function batchedCall(call: JoinCall): FleetCall {
  const out = new Outbox<control.Command>(
    (commands) => {
      if (commands.length === 1) call.write(commands[0]!)
      else call.write({ generation: 0, body: { $case: 'batch', value: { commands: [...commands] } } })
    },
    ({ body }) => (body?.$case === 'recover' ? body.value.snapshot.byteLength : 0),
  )
  return {
    on(event, listener: (report: control.Report) => void) {
      if (event !== 'data') return call.on(event, listener)
      return call.on('data', (report: control.Report) => {
        if (report.body?.$case === 'batch') report.body.value.reports.forEach(listener)
        else listener(report)
      })
    },
    emit: (event, error) => call.emit(event, error),
    write: (command) => out.write(command),
    end: () => {
      out.flush()
      call.end()
    },
    get writableLength() {
      return call.writableLength
    },
  }
}

/** The task-manager's end. */
export function batchedStream(stream: FleetStream): FleetStream {
  const out = new Outbox<control.Report>(
    (reports) => {
      if (reports.length === 1) stream.write(reports[0]!)
      else stream.write({ body: { $case: 'batch', value: { reports: [...reports] } } })
    },
    ({ body }) => (body?.$case === 'ack' ? body.value.snapshot.byteLength : 0),
  )
  return {
    on(event: 'data' | 'error' | 'end', listener: (of: never) => void) {
      if (event !== 'data') return stream.on(event as 'end', listener as () => void)
      const each = listener as (command: control.Command) => void
      return stream.on('data', (command) => {
        if (command.body?.$case === 'batch') command.body.value.commands.forEach(each)
        else each(command)
      })
    },
    write: (report) => out.write(report),
    cancel: () => {
      out.clear()
      stream.cancel()
    },
  }
}
