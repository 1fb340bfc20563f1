/**
 * The job-manager's end of the fleet: one session per task-manager (control.proto). A session ends once and is never
 * resumed: a task-manager that comes back has a new id.
 */
import type { AnswerTo, ControlLink, JanitorAnswer, JanitorRequest, SliceCommand, SliceId } from '@weir/job'
import { WeirError, taskManagerId, type Cancel, type Clock, type Generation, type TaskManagerId } from '@weir/model'
import { control } from '@weir/proto'
import { encodeCommand } from './control/commands.ts'
import { decodeAnswer, encodeJanitor } from './control/janitor.ts'
import { decodeReport } from './control/reports.ts'
import type { SliceReportMessage } from './control/slice-report.ts'
import { slicesIn } from './control/words.ts'
import { toServiceError } from './errors.ts'
import { checkToken } from './token.ts'

/** The server's end of one Join call: reports come in, commands go out. */
export interface FleetCall {
  on(event: 'data', call: (report: control.Report) => void): unknown
  on(event: 'end' | 'cancelled' | 'error' | 'close', call: () => void): unknown
  /** Becomes the status that the client gets. */
  emit(event: 'error', error: Error): unknown
  write(command: control.Command): unknown
  end(): void
  readonly writableLength: number
}

export interface TaskManagerInfo {
  readonly id: TaskManagerId
  readonly slots: number
  readonly version: string
  readonly httpAddress: string
  /** The same after every start on the same disk. */
  readonly pod: string
  /** Wall clock, ms. */
  readonly joinedAt: number
  readonly draining: boolean
}

export interface FleetServerOptions {
  readonly heartbeatIntervalMs: number
  /** Lost after this many intervals without a message. */
  readonly heartbeatMisses: number
  readonly token: string | null
}
export const FLEET_DEFAULTS: FleetServerOptions = { heartbeatIntervalMs: 400, heartbeatMisses: 4, token: null }

export type Standing =
  | { readonly leading: true; readonly generation: Generation }
  /** Empty: no leader is known. */
  | { readonly leading: false; readonly leaderAddress: string }

export interface FleetServerDeps {
  readonly clock: Clock
  standing(): Promise<Standing>
  readonly events: {
    joined(info: TaskManagerInfo): void
    report(from: TaskManagerId, report: SliceReportMessage): void
    /** Exactly once per joined task-manager, unless leadership ends first. */
    lost(id: TaskManagerId, reason: string): void
    draining(id: TaskManagerId): void
    /** Slices it says are alive: what nobody knows is to be stopped. */
    alive(id: TaskManagerId, slices: readonly SliceId[]): void
  }
}

const HELLO_TIMEOUT_MS = 2_000
const TASK_MANAGERS_MAX = 1_000
/** A task-manager that does not read its commands is lost. */
const UNREAD_BYTES_MAX = 64 << 20

/** Questions to one task-manager that wait for their answer. */
const QUESTIONS_MAX = 256

interface Session {
  readonly call: FleetCall
  info: TaskManagerInfo
  readonly generation: Generation
  cancelWatchdog: Cancel
  readonly questions: Map<number, (answer: JanitorAnswer | WeirError) => void>
}

export class FleetServer implements ControlLink {
  readonly #options: FleetServerOptions
  readonly #deps: FleetServerDeps
  readonly #sessions = new Map<TaskManagerId, Session>()
  #lastQuestion = 0

  constructor(options: FleetServerOptions, deps: FleetServerDeps) {
    this.#options = options
    this.#deps = deps
  }

  list(): readonly TaskManagerInfo[] {
    return [...this.#sessions.values()].map((s) => s.info)
  }

  /** One Join call, from its first message to its end. */
  handle(call: FleetCall): void {
    let session: Session | null = null
    let greeted = false
    const cancelHello = this.#deps.clock.after(HELLO_TIMEOUT_MS, () => {
      refuse(call, new WeirError({ code: 'HELLO_MISSING', kind: 'invalid' }, 'the first message must be Hello'))
    })
    call.on('data', (report: control.Report) => {
      if (session !== null) return this.#received(session, report)
      if (greeted) return
      greeted = true
      cancelHello()
      this.#greet(call, report).then(
        (made) => (session = made),
        (error: unknown) => refuse(call, error),
      )
    })
    const over = (reason: string) => () => {
      cancelHello()
      if (session) this.#lose(session, reason)
    }
    call.on('end', over('the connection was closed'))
    call.on('cancelled', over('the connection broke'))
    call.on('error', over('the connection broke'))
    call.on('close', over('the connection was closed'))
  }

  send(to: TaskManagerId, command: SliceCommand): boolean {
    const session = this.#sessions.get(to)
    if (session === undefined) return false
    if (session.call.writableLength > UNREAD_BYTES_MAX) {
      this.#lose(session, `${session.call.writableLength} bytes of commands are unread`)
      return false
    }
    session.call.write({ generation: session.generation, body: encodeCommand(command) })
    return true
  }

  /**
   * A question about no slice. Throws what the task-manager answers, or kind `retry`: `TASK_MANAGER_LOST`,
   * `JANITOR_TIMED_OUT`, `JANITOR_BUSY`. A lost answer proves nothing: the act may have been done.
   */
  ask<R extends JanitorRequest>(to: TaskManagerId, request: R, timeoutMs: number): Promise<AnswerTo<R>> {
    const session = this.#sessions.get(to)
    return new Promise<AnswerTo<R>>((resolve, reject) => {
      if (session === undefined) return reject(gone(to, 'not connected'))
      const { questions } = session
      if (questions.size >= QUESTIONS_MAX) {
        const busy = `${questions.size} questions to task-manager ${to} wait for an answer`
        return reject(new WeirError({ code: 'JANITOR_BUSY', kind: 'retry', taskManagerId: to }, busy))
      }
      const id = ++this.#lastQuestion
      const cancel = this.#deps.clock.after(timeoutMs, () => {
        const late = `task-manager ${to} did not answer within ${timeoutMs} ms`
        settle(
          new WeirError({ code: 'JANITOR_TIMED_OUT', kind: 'retry', taskManagerId: to, asked: request.type }, late),
        )
      })
      const settle = (answer: JanitorAnswer | WeirError): void => {
        cancel()
        questions.delete(id)
        if (answer instanceof WeirError) reject(answer)
        else resolve(answer as AnswerTo<R>)
      }
      questions.set(id, settle)
      session.call.write({ generation: session.generation, body: encodeJanitor(id, request) })
    })
  }

  /** Leadership has ended: everybody is sent away, nobody is reported lost. */
  closeAll(leaderAddress: string): void {
    for (const session of this.#sessions.values()) {
      session.cancelWatchdog()
      this.#forgetQuestions(session, 'the leadership has ended')
      session.call.write({ generation: 0, body: { $case: 'notLeader', value: { leaderAddress } } })
      session.call.end()
    }
    this.#sessions.clear()
  }

  /** Null: sent away. */
  async #greet(call: FleetCall, report: control.Report): Promise<Session | null> {
    if (report.body?.$case !== 'hello') {
      throw new WeirError({ code: 'HELLO_MISSING', kind: 'invalid' }, 'the first message must be Hello')
    }
    const hello = report.body.value
    checkToken(this.#options.token, hello.token)
    const standing = await this.#deps.standing()
    if (!standing.leading) {
      const { leaderAddress } = standing
      call.write({ generation: 0, body: { $case: 'notLeader', value: { leaderAddress } } })
      call.end()
      return null
    }
    const id = taskManagerId(hello.taskManagerId)
    if (this.#sessions.has(id)) {
      throw new WeirError(
        { code: 'TASK_MANAGER_DUPLICATE', kind: 'invalid', id },
        `task-manager ${id} is joined already; a process takes a new id each time it joins`,
      )
    }
    if (this.#sessions.size >= TASK_MANAGERS_MAX) {
      throw new WeirError({ code: 'FLEET_FULL', kind: 'retry' }, `the fleet has ${TASK_MANAGERS_MAX} task-managers`)
    }
    const { slots, version, httpAddress, pod } = hello
    const { heartbeatIntervalMs, heartbeatMisses } = this.#options
    const info = { id, slots, version, httpAddress, pod, joinedAt: this.#deps.clock.now(), draining: false }
    const { generation } = standing
    const session: Session = { call, info, generation, cancelWatchdog: () => {}, questions: new Map() }
    this.#sessions.set(id, session)
    call.write({
      generation: standing.generation,
      body: { $case: 'welcome', value: { heartbeatIntervalMs, heartbeatMisses } },
    })
    this.#watch(session)
    this.#deps.events.joined(info)
    return session
  }

  #received(session: Session, report: control.Report): void {
    if (this.#sessions.get(session.info.id) !== session) return
    this.#watch(session)
    const { events } = this.#deps
    const { id } = session.info
    if (report.body?.$case === 'heartbeat') return events.alive(id, slicesIn(report.body.value.slices))
    if (report.body?.$case === 'drain') {
      session.info = { ...session.info, draining: true }
      return events.draining(id)
    }
    if (report.body?.$case === 'janitor') {
      const answer = decodeAnswer(report.body.value.result)
      const settle = session.questions.get(report.body.value.request)
      return settle?.('failure' in answer ? WeirError.fromJSON(answer.failure) : answer)
    }
    const message = decodeReport(report)
    if (message !== null) events.report(id, message)
  }

  #watch(session: Session): void {
    const { heartbeatIntervalMs, heartbeatMisses } = this.#options
    session.cancelWatchdog()
    session.cancelWatchdog = this.#deps.clock.after(heartbeatIntervalMs * heartbeatMisses, () =>
      this.#lose(session, `no heartbeat for ${heartbeatIntervalMs * heartbeatMisses} ms`),
    )
  }

  #lose(session: Session, reason: string): void {
    const { id } = session.info
    if (this.#sessions.get(id) !== session) return
    this.#sessions.delete(id)
    session.cancelWatchdog()
    this.#forgetQuestions(session, reason)
    // What still lives behind the broken stream learns by its end that it is not part of the fleet any more.
    session.call.end()
    this.#deps.events.lost(id, reason)
  }

  #forgetQuestions({ info, questions }: Session, reason: string): void {
    for (const settle of [...questions.values()]) settle(gone(info.id, reason))
  }
}

const gone = (id: TaskManagerId, reason: string): WeirError =>
  new WeirError(
    { code: 'TASK_MANAGER_LOST', kind: 'retry', taskManagerId: id },
    `task-manager ${id} is gone before it has answered: ${reason}`,
  )

function refuse(call: FleetCall, error: unknown): void {
  call.emit('error', toServiceError(error))
}
