/**
 * Changes of PostgreSQL tables by logical replication (pgoutput). The position is state of the job; the slot is told only what
 * is final, so everything behind it can be read again. A slot has one reader: subtask 0 owns the one split.
 *
 * An attempt that begins ends the connection of the one before it, which may still hold the slot.
 */
import type { ConnectorDescriptor, SourcePoll, SourceReader, SourceState, SubtaskContext } from '@weir/dataflow'
import { WeirError, assert, type Cancel, type Clock, type RowChange } from '@weir/model'
import type { Socket } from 'node:net'
import type { LogicalReplicationService, Pgoutput } from 'pg-logical-replication'
import { secretOf } from '../../secrets.ts'
import { PostgresConnection } from '../connection.ts'
import { postgresError } from '../errors.ts'
import { ChangeStream, lsnOf, lsnText, type ChangePosition, type Step } from './changes.ts'

export interface ChangesSourceOptions {
  /** A reference to a connection string; its user needs REPLICATION. */
  readonly url: string
  readonly publication: string
  /** Made where it is missing at the first start. */
  readonly slot: string
  /** `latest`: bounded, ends in front of what is committed after the first start. */
  readonly until: 'none' | 'latest'
}

/** The descriptor of `postgres.changes` (libs/sdk). Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function changesOptions(descriptor: ConnectorDescriptor): ChangesSourceOptions {
  const { url, publication, slot, until } = descriptor as ConnectorDescriptor & ChangesSourceOptions
  for (const option of ['url', 'publication', 'slot', 'until'] as const) {
    if (typeof descriptor[option] === 'string') continue
    throw new WeirError(
      { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'postgres', option },
      `postgres: ${option} is missing. Make the descriptor with postgres.changes()`,
    )
  }
  return { url, publication, slot, until }
}

const SPLIT = 0
const IDLE_MS = 50
/** Changes that wait to be polled; above it the stream is not read. */
const BUFFERED_MAX = 10_000
/** Polls whose positions are kept: a source that is cut takes records of the last ones back. */
const POLLS_KEPT = 8
/** A third of the server's default bound for silent clients. */
const ALIVE_MS = 20_000
const TAKEOVER_TRIES = 100
const TAKEOVER_PAUSE_MS = 100

type Buffered = Exclude<Step, null>

export class ChangesSource implements SourceReader {
  readonly #options: ChangesSourceOptions
  readonly #context: SubtaskContext
  readonly #clock: Clock
  #position: ChangePosition | null = null
  #service: LogicalReplicationService | null = null
  #buffer: Buffered[] = []
  /** In front of the n-th record that was handed out, for the last polls. */
  #handedOut: { readonly offset: number; readonly before: ChangePosition }[][] = []
  #failure: WeirError | null = null
  #ended = false
  #confirmed = 0n
  #wake: (() => void)[] = []
  #cancelAlive: Cancel | null = null

  constructor(options: ChangesSourceOptions, deps: { readonly context: SubtaskContext; readonly clock: Clock }) {
    this.#options = options
    this.#context = deps.context
    this.#clock = deps.clock
    deps.context.signal.addEventListener('abort', () => this.#wakeAll(), { once: true })
  }

  /**
   * Throws `WAL_LEVEL`, `PUBLICATION_MISSING`, `SLOT_MISSING`, `SLOT_LOST`, `SLOT_FOREIGN`, `POSITION_INVALID` (invalid), and
   * `OFFSET_OUT_OF_RANGE` (invalid): the slot was confirmed behind the position.
   */
  async open(restored: SourceState | null): Promise<readonly number[]> {
    if (this.#context.subtask !== 0) return []
    const url = secretOf(this.#options.url, this.#context.operatorUid)
    const session = `weir ${this.#context.jobId} ${this.#context.operatorUid}`
    const connection = new PostgresConnection(url, session)
    try {
      const stored = (restored?.[SPLIT] ?? null) as ChangePosition | null
      if (stored !== null) lsnOf(stored.lsn)
      const slotAt = await this.#prepareSlot(connection, stored)
      const position = stored ?? (await this.#beginning(connection, slotAt))
      this.#position = position
      this.#confirmed = slotAt
      await this.#subscribe(connection, url, session, position)
    } finally {
      await connection.close()
    }
    return [SPLIT]
  }

  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    this.#throwFailure()
    if (this.#position === null) return this.#options.until === 'latest' ? 'end' : this.#idle()
    if (this.#ended) return 'end'
    if (held?.has(SPLIT) === true) return this.#idle()
    if (this.#buffer.length === 0) {
      await this.#somethingOrIdle()
      this.#throwFailure()
    }
    return this.#take(maxRecords)
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    if (this.#position === null) return {}
    const offset = from?.get(SPLIT) ?? this.#position.offset
    if (offset === this.#position.offset) return { [SPLIT]: this.#position }
    const found = this.#handedOut.flat().find((record) => record.offset === offset)
    assert(found !== undefined, `the position in front of change ${offset} is not known any more`)
    return { [SPLIT]: found.before }
  }

  /** The slot may forget what is final, and not before. */
  committed(state: SourceState): void {
    const final = state[SPLIT] as ChangePosition | undefined
    if (final === undefined) return
    const lsn = lsnOf(final.lsn)
    if (lsn > this.#confirmed) this.#confirmed = lsn
    this.#confirm(false)
  }

  async close(): Promise<void> {
    const service = this.#service
    this.#service = null
    this.#cancelAlive?.()
    this.#buffer = []
    this.#wakeAll()
    await service?.destroy().catch(() => undefined)
  }

  // ---- the slot -----------------------------------------------------------------------------------------------------

  /** @returns up to where it was confirmed. */
  async #prepareSlot(connection: PostgresConnection, stored: ChangePosition | null): Promise<bigint> {
    const { slot, publication } = this.#options
    const [level] = await connection.query('SHOW wal_level')
    if (level!['wal_level'] !== 'logical')
      throw invalid('WAL_LEVEL', { level: level!['wal_level'] }, 'set wal_level = logical, and restart the server')
    const published = await connection.query('SELECT 1 FROM pg_publication WHERE pubname = $1', [publication])
    if (published.length === 0) {
      const remedy = `there is no publication "${publication}": CREATE PUBLICATION "${publication}" FOR TABLE …`
      throw invalid('PUBLICATION_MISSING', { publication }, remedy)
    }
    const found = (await this.#slot(connection)) ?? (await this.#makeSlot(connection, stored))
    if (found['plugin'] !== 'pgoutput') {
      throw invalid('SLOT_FOREIGN', { slot }, `slot "${slot}" is of plugin ${String(found['plugin'])}; name another`)
    }
    if (found['wal_status'] === 'lost') {
      const remedy = `the server has removed what slot "${slot}" held (max_slot_wal_keep_size): changes are lost. Drop the slot, and begin anew from the tables`
      throw invalid('SLOT_LOST', { slot }, remedy)
    }
    const confirmed = lsnOf(found['confirmed_flush_lsn'])
    if (stored !== null && confirmed > lsnOf(stored.lsn)) {
      const facts = { slot, position: stored.lsn, confirmed: lsnText(confirmed) }
      const remedy = `slot "${slot}" was confirmed up to ${facts.confirmed}, and the job stands at ${stored.lsn}: what is between is gone. Was an older epoch restored, or does somebody else read the slot?`
      throw invalid('OFFSET_OUT_OF_RANGE', facts, remedy)
    }
    return confirmed
  }

  async #slot(connection: PostgresConnection): Promise<Readonly<Record<string, unknown>> | undefined> {
    const columns = 'plugin, wal_status, confirmed_flush_lsn, active_pid'
    const found = await connection.query(`SELECT ${columns} FROM pg_replication_slots WHERE slot_name = $1`, [
      this.#options.slot,
    ])
    return found[0]
  }

  async #makeSlot(
    connection: PostgresConnection,
    stored: ChangePosition | null,
  ): Promise<Readonly<Record<string, unknown>>> {
    const { slot } = this.#options
    if (stored !== null) {
      const remedy = `slot "${slot}" is gone, and the job stands at ${stored.lsn}: what was committed since is lost to it. Begin anew from the tables, under another uid`
      throw invalid('SLOT_MISSING', { slot, position: stored.lsn }, remedy)
    }
    await connection.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
    return (await this.#slot(connection))!
  }

  async #beginning(connection: PostgresConnection, slotAt: bigint): Promise<ChangePosition> {
    let end: string | null = null
    if (this.#options.until === 'latest') {
      const [now] = await connection.query('SELECT pg_current_wal_lsn() AS lsn')
      end = lsnText(lsnOf(now!['lsn']))
      // Something behind it, so that the server comes past it also when nobody writes.
      await connection.query(`SELECT pg_logical_emit_message(false, 'weir', 'end')`)
    }
    return { lsn: lsnText(slotAt), transaction: null, changes: 0, offset: 0, end }
  }

  async #subscribe(
    connection: PostgresConnection,
    url: string,
    session: string,
    position: ChangePosition,
  ): Promise<void> {
    // Loaded by those who use it: every slot of a task-manager loads this package.
    // Of a CommonJS package a bundle has the default export only.
    const { LogicalReplicationService, PgoutputPlugin } = (await import('pg-logical-replication')).default
    const service = new LogicalReplicationService(
      { connectionString: url, application_name: session },
      // By itself it would confirm what it has received; its flow control would let heartbeats overtake changes.
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
    )
    const stream = new ChangeStream(position)
    service.on('data', (_lsn, message: Pgoutput.Message) => {
      this.#put(service, () => stream.accept(message))
      if (this.#buffer.length >= BUFFERED_MAX) this.#flow('pause')
    })
    service.on('heartbeat', (lsn, _time, shouldRespond) => {
      this.#put(service, () => stream.heard(lsnOf(lsn)))
      if (shouldRespond) this.#confirm(false)
    })
    service.on('error', (error) => this.#fail(service, error))
    this.#service = service
    const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [this.#options.publication] })
    for (let i = 0; ; i++) {
      const started = new Promise<void>((resolve) => service.once('start', () => resolve()))
      // Resolves when the stream ends.
      const ended = service.subscribe(plugin, this.#options.slot, position.lsn)
      const refused = await Promise.race([
        started.then(() => null),
        ended.then(
          () => null,
          (error: unknown) => error,
        ),
      ])
      if (refused === null) {
        this.#failure = null
        this.#stayAlive()
        ended.then(
          () => this.#fail(service, new Error('the server has ended the stream')),
          (error: unknown) => this.#fail(service, error),
        )
        return
      }
      if ((refused as { code?: string }).code !== IN_USE || i >= TAKEOVER_TRIES) {
        throw postgresError(refused, `replication of ${this.#options.slot}`)
      }
      const { active_pid: holder } = (await this.#slot(connection)) ?? {}
      if (holder) await connection.query('SELECT pg_terminate_backend($1)', [holder])
      await this.#clock.sleep(TAKEOVER_PAUSE_MS, this.#context.signal)
    }
  }

  /** The library adds one to what it is told, and a transaction may begin to commit exactly there. */
  #confirm(ask: boolean): void {
    if (this.#confirmed === 0n) return
    this.#service?.acknowledge(lsnText(this.#confirmed - 1n), ask).catch(() => undefined)
  }

  /** While the stream is not read, its heartbeats are not answered either. */
  #stayAlive(): void {
    this.#cancelAlive = this.#clock.after(ALIVE_MS, () => {
      this.#confirm(false)
      this.#stayAlive()
    })
  }

  #flow(to: 'pause' | 'resume'): void {
    const socket = this.#service?.['_connection'] as { readonly stream: Socket } | null | undefined
    socket?.stream[to]()
  }

  // ---- what waits ---------------------------------------------------------------------------------------------------

  #put(service: LogicalReplicationService, step: () => Step): void {
    if (this.#service !== service || this.#failure !== null) return
    try {
      const one = step()
      if (one !== null) this.#buffer.push(one)
    } catch (error) {
      this.#fail(service, error)
    }
    if (this.#buffer.length > 0) this.#wakeAll()
  }

  #fail(service: LogicalReplicationService, error: unknown): void {
    if (this.#service !== service) return
    const known = postgresError(error, `replication of ${this.#options.slot}`)
    const { code, kind, message } = known
    // The next attempt reads it again from the position.
    this.#failure ??=
      kind === 'invalid' ? known : new WeirError({ ...known.facts, code, kind: 'restart' }, message, { cause: error })
    this.#wakeAll()
  }

  /** What came before it is handed out first. */
  #throwFailure(): void {
    if (this.#failure !== null && this.#buffer.length === 0) throw this.#failure
  }

  async #somethingOrIdle(): Promise<void> {
    // The end of a bounded source may be one that nothing was written behind: the server tells when it is asked.
    if (this.#options.until === 'latest') this.#confirm(true)
    await Promise.race([this.#wakeUp(), this.#clock.sleep(IDLE_MS, this.#context.signal)])
  }

  async #idle(): Promise<'idle'> {
    await this.#clock.sleep(IDLE_MS, this.#context.signal)
    return 'idle'
  }

  #take(maxRecords: number): SourcePoll {
    const values: RowChange[] = []
    const timestamps: number[] = []
    const offsets: number[] = []
    const handedOut: { offset: number; before: ChangePosition }[] = []
    let taken = 0
    for (; taken < this.#buffer.length && values.length < maxRecords; taken++) {
      const one = this.#buffer[taken]!
      if (one.type === 'end') {
        if (values.length > 0) break
        this.#ended = true
        this.#buffer = []
        return { kind: 'split-end', split: SPLIT }
      }
      const before = this.#position!
      this.#position = one.position
      if (one.type !== 'change') continue
      values.push(one.change)
      timestamps.push(one.change.committedAt)
      offsets.push(before.offset)
      handedOut.push({ offset: before.offset, before })
    }
    this.#buffer.splice(0, taken)
    if (this.#buffer.length < BUFFERED_MAX / 2) this.#flow('resume')
    if (values.length === 0) return 'idle'
    this.#handedOut = [...this.#handedOut.slice(1 - POLLS_KEPT), handedOut]
    return { kind: 'values', split: SPLIT, values, timestamps, offsets }
  }

  #wakeUp(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #wakeAll(): void {
    const wake = this.#wake
    this.#wake = []
    for (const call of wake) call()
  }
}

/** SQLSTATE object_in_use. */
const IN_USE = '55006'

const invalid = (code: string, facts: Readonly<Record<string, unknown>>, remedy: string): WeirError =>
  new WeirError({ code, kind: 'invalid', ...facts }, remedy)
