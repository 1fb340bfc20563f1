/** Both ends of the fleet stream over real sockets. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { SliceCommand } from '@weir/job'
import { NEEDS_OF_ANY, defaultSettings, type DeadLetter } from '@weir/dataflow'
import { WeirError, attempt, epoch, generation, jobId, operatorUid, subtask } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { control } from '@weir/proto'
import net from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { FleetClient, FleetServer, batchedCall, type JoinCall, type FleetClientDeps, type Standing } from './index.ts'

const slice = { jobId: jobId('pay'), attempt: { generation: generation(5), attempt: attempt(1) }, subtask: subtask(0) }
const cleanups: (() => void)[] = []
afterEach(() => cleanups.splice(0).forEach((c) => c()))

/** Values in the order they come; `next` waits for one. */
class Inbox<T> {
  readonly #items: T[] = []
  #waiting: ((item: T) => void)[] = []
  push(item: T): void {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(item)
    else this.#items.push(item)
  }
  next(): Promise<T> {
    const item = this.#items.shift()
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item)
  }
}

async function manager(options: { token?: string; standing?: () => Standing; intervalMs?: number } = {}) {
  const events = new Inbox<string>()
  const server = new FleetServer(
    { heartbeatIntervalMs: options.intervalMs ?? 50, heartbeatMisses: 4, token: options.token ?? null },
    {
      clock: systemClock,
      standing: () => Promise.resolve(options.standing?.() ?? { leading: true, generation: generation(5) }),
      events: {
        joined: (info) => events.push(`joined ${info.slots}`),
        report: (_, report) => events.push(`report ${report.type}`),
        lost: (_, reason) => events.push(`lost ${reason}`),
        draining: () => events.push('draining'),
        alive: () => undefined,
      },
    },
  )
  const grpc = new Server()
  grpc.addService(control.FleetService, { join: (call: JoinCall) => server.handle(batchedCall(call)) })
  const port = await new Promise<number>((resolve, reject) =>
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p))),
  )
  cleanups.push(() => grpc.forceShutdown())
  return { server, events, grpc, address: `127.0.0.1:${port}` }
}

function worker(
  jobManagers: string[],
  token: string | null = null,
  janitor: FleetClientDeps['handlers']['janitor'] = () => new Promise(() => {}),
) {
  const events = new Inbox<string>()
  const handlers: FleetClientDeps['handlers'] = {
    joined: (id, gen, leader) => events.push(`joined ${id} ${gen} ${leader}`),
    command: (command) => events.push(`command ${command.type}`),
    janitor: (request) => {
      events.push(`janitor ${JSON.stringify(request)}`)
      return janitor(request)
    },
    disconnected: () => events.push('disconnected'),
    slices: () => [slice],
  }
  const client = new FleetClient(
    { jobManagers, slots: 4, version: 't', httpAddress: 'h:1', pod: 'p', token },
    { clock: systemClock, random: systemRandom, handlers },
  )
  const end = new AbortController()
  const done = client.run(end.signal)
  done.catch(() => undefined)
  cleanups.push(() => end.abort(new Error('test over')))
  return { client, events, done, end }
}

test('joins, takes commands, sends reports, asks to be drained', async () => {
  const jm = await manager()
  const tm = worker([jm.address])
  expect(await jm.events.next()).toBe('joined 4')
  expect(await tm.events.next()).toMatch(/^joined tm-\w+ 5 /)
  const { id } = jm.server.list()[0]!
  const command: SliceCommand = { type: 'stop', slice, mode: 'leave' }
  expect(jm.server.send(id, command)).toBe(true)
  expect(await tm.events.next()).toBe('command stop')
  tm.client.report({ type: 'stopped', slice })
  expect(await jm.events.next()).toBe('report stopped')
  tm.client.drain()
  expect(await jm.events.next()).toBe('draining')
  expect(jm.server.list()[0]!.draining).toBe(true)
})

test('commands of one turn and their answers arrive one by one and in order', async () => {
  const jm = await manager()
  const tm = worker([jm.address])
  await jm.events.next()
  await tm.events.next()
  const { id } = jm.server.list()[0]!
  const checkpoint = { generation: generation(5), epoch: epoch(1), attempt: attempt(1) }
  const snapshot = { subtask: subtask(0), sources: {}, segments: [], sinks: {}, watermarks: {}, recordsIn: 0 }
  for (let i = 0; i < 300; i++)
    jm.server.send(id, { type: 'trigger', slice, checkpoint, last: false, cut: { mode: 'barrier', why: null } })
  jm.server.send(id, { type: 'give-up', slice, checkpoint, timedOut: false })
  for (let i = 0; i < 300; i++) expect(await tm.events.next()).toBe('command trigger')
  expect(await tm.events.next()).toBe('command give-up')
  const ack = { type: 'ack', slice, checkpoint, snapshot, alignMs: 0, syncMs: 0, asyncMs: 0 } as const
  for (let i = 0; i < 300; i++) tm.client.report(ack)
  tm.client.report({ type: 'stopped', slice })
  for (let i = 0; i < 300; i++) expect(await jm.events.next()).toBe('report ack')
  expect(await jm.events.next()).toBe('report stopped')
})

test('a task-manager that goes is lost at once, and cannot be sent to', async () => {
  const jm = await manager()
  const tm = worker([jm.address])
  await jm.events.next()
  const { id } = jm.server.list()[0]!
  tm.end.abort(new Error('gone'))
  expect(await jm.events.next()).toMatch(/^lost the connection/)
  expect(jm.server.send(id, { type: 'stop', slice, mode: 'leave' })).toBe(false)
})

test('a task-manager that is silent is lost after the heartbeats it may miss', async () => {
  const jm = await manager({ intervalMs: 20 })
  const call = new control.FleetClient(
    jm.address,
    (await import('@grpc/grpc-js')).ChannelCredentials.createInsecure(),
  ).join()
  call.on('error', () => undefined)
  call.on('data', () => undefined)
  const hello = { taskManagerId: 'tm-x', slots: 1, version: '', httpAddress: '', pod: '', token: '' }
  call.write({ body: { $case: 'hello', value: hello } })
  expect(await jm.events.next()).toBe('joined 1')
  expect(await jm.events.next()).toBe('lost no heartbeat for 80 ms')
  call.cancel()
})

test('who does not lead sends on to the leader', async () => {
  const leader = await manager()
  const other = await manager({ standing: () => ({ leading: false, leaderAddress: leader.address }) })
  const tm = worker([other.address])
  expect(await tm.events.next()).toContain(leader.address)
})

test('when leadership ends the task-manager leaves, joins again under a new name, nobody is reported lost', async () => {
  const jm = await manager()
  const tm = worker([jm.address])
  const first = await tm.events.next()
  expect(await jm.events.next()).toBe('joined 4')
  jm.server.closeAll('')
  expect(await tm.events.next()).toBe('disconnected')
  const second = await tm.events.next()
  expect(second).toMatch(/^joined/)
  expect(second).not.toBe(first)
  expect(await jm.events.next()).toBe('joined 4')
})

test('a wrong token ends the run with its code', async () => {
  const jm = await manager({ token: 'secret' })
  await expect(worker([jm.address], 'other').done).rejects.toMatchObject({ code: 'TOKEN_REFUSED', kind: 'invalid' })
  await expect(worker([jm.address]).done).rejects.toMatchObject({ code: 'TOKEN_REFUSED' })
  worker([jm.address], 'secret')
  expect(await jm.events.next()).toBe('joined 4')
})

test('a job-manager that is frozen, and so accepts and never answers, is left for the next one', async () => {
  const frozen = net.createServer()
  await new Promise<void>((resolve) => frozen.listen(0, '127.0.0.1', resolve))
  const sockets: net.Socket[] = []
  frozen.on('connection', (socket) => void sockets.push(socket.on('error', () => undefined)))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    frozen.close()
  })
  const jm = await manager()
  worker([`127.0.0.1:${(frozen.address() as net.AddressInfo).port}`, jm.address])
  expect(await jm.events.next()).toBe('joined 4')
})

test('a question to one task-manager is answered with its result or its failure; when it goes, the question fails', async () => {
  const jm = await manager()
  const transaction = { transactionalId: 'weir.pay.out.0.0', producerId: '9007199254740993', producerEpoch: 4 }
  const open = { ...transaction, state: 'open' as const, startedAt: 5, timeoutMs: 6, partitions: ['out-1'] }
  const proofs = [{ sequence: 3, outcome: 'committed' as const, by: 'heal' as const }]
  const place = { partition: 0, offset: 3, origin: 'in/0/5', first: null, ordinal: null, timestamp: 1, attempt: 1 }
  const what = { operator: 'map-1', error: 'OPERATOR_FAILED', message: 'bad', replay: 'whole' as const, replayed: null }
  const letter: DeadLetter = { ...place, ...what, key: null, value: 'ü', valueBytes: 2 }
  const machine = { name: 'tm', node: '24.0.0', openFilesMax: null, disk: null }
  const replay = { replayId: 'r', replayed: 1, before: 2, refused: [{ origin: 'in/0/6', why: 'no' }] }
  const tm = worker([jm.address], null, async (request) => {
    switch (request.type) {
      case 'list': {
        if (request.prefix === 'nothing') return new Promise<never>(() => {})
        const transactions = [open, { ...open, state: 'aborting' as const, startedAt: null }]
        return { type: 'listed', connectors: ['kafka'], transactions }
      }
      case 'end':
        if (request.decision === 'commit') throw new WeirError({ code: 'NO', kind: 'invalid', id: 7 }, 'no')
        return { type: 'ended', outcome: 'refused' }
      case 'settle':
        return { type: 'settled', proofs }
      case 'dead-letters':
        return { type: 'letters', letters: [letter], next: request.from }
      case 'replay':
        return { type: 'replayed', replay: { ...replay, more: request.origins === null } }
      case 'examine':
        return { type: 'examined', observed: { machines: [machine] } }
    }
  })
  await jm.events.next()
  await tm.events.next()
  const { id } = jm.server.list()[0]!
  const asked = async (): Promise<unknown> => JSON.parse((await tm.events.next()).slice('janitor '.length))

  expect(await jm.server.ask(id, { type: 'list', prefix: 'weir.' }, 5_000)).toEqual({
    type: 'listed',
    connectors: ['kafka'],
    transactions: [open, { ...open, state: 'aborting', startedAt: null }],
  })
  expect(await asked()).toEqual({ type: 'list', prefix: 'weir.' })

  const end = { type: 'end' as const, connector: 'kafka', transaction }
  expect(await jm.server.ask(id, { ...end, decision: 'abort' }, 5_000)).toEqual({ type: 'ended', outcome: 'refused' })
  expect(await asked()).toEqual({ ...end, decision: 'abort' })
  await expect(jm.server.ask(id, { ...end, decision: 'commit' }, 5_000)).rejects.toMatchObject({
    code: 'NO',
    kind: 'invalid',
    facts: { id: 7 },
  })
  await asked()

  const { jobId, subtask } = slice
  const descriptor = { connector: 'kafka', topic: 'out' }
  const sink = { jobId, sink: operatorUid('out'), subtask, descriptor, settings: defaultSettings }
  for (const restored of [null, { sequence: 4, handles: [] }]) {
    const settle = { type: 'settle' as const, sink: { ...sink, restored } }
    expect(await jm.server.ask(id, settle, 5_000)).toEqual({ type: 'settled', proofs })
    expect(await asked()).toEqual(settle)
  }

  const dead = { connector: 'kafka', topic: 'out.dead', jobId }
  for (const from of [null, { partition: 1, offset: 7 }]) {
    const list = { type: 'dead-letters' as const, ...dead, from, limit: 10 }
    expect(await jm.server.ask(id, list, 5_000)).toEqual({ type: 'letters', letters: [letter], next: from })
    expect(await asked()).toEqual(list)
  }
  for (const origins of [null, [], ['in/0/5']]) {
    const wish = { type: 'replay' as const, ...dead, origins, replayId: 'r' }
    const more = origins === null
    expect(await jm.server.ask(id, wish, 5_000)).toEqual({ type: 'replayed', replay: { ...replay, more } })
    expect(await asked()).toEqual(wish)
  }
  const examine = { type: 'examine' as const, needs: { ...NEEDS_OF_ANY, reads: ['orders'] } }
  expect(await jm.server.ask(id, examine, 5_000)).toEqual({ type: 'examined', observed: { machines: [machine] } })
  expect(await asked()).toEqual(examine)

  const nothing = { type: 'list' as const, prefix: 'nothing' }
  await expect(jm.server.ask(id, nothing, 10)).rejects.toMatchObject({ code: 'JANITOR_TIMED_OUT', kind: 'retry' })
  const unanswered = jm.server.ask(id, nothing, 60_000)
  await asked()
  await asked()
  tm.end.abort(new Error('gone'))
  await expect(unanswered).rejects.toMatchObject({ code: 'TASK_MANAGER_LOST', kind: 'retry' })
  await expect(jm.server.ask(id, nothing, 10)).rejects.toMatchObject({ code: 'TASK_MANAGER_LOST' })
})
