/**
 * What a job-manager tells its task-managers and hears from them: the messages of their Join streams, as bytes of gRPC. And what it is about to
 * publish: head.json is the second arbiter (libs/metadata/src/arbiter.ts), written when the first one has the checkpoint.
 */
import { control } from '@weir/proto'
import fs from 'node:fs'
import http2, { type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { syncBuiltinESMExports } from 'node:module'
import type { CrashPoint } from './points.ts'
import { GrpcMessages } from './grpc-messages.ts'

type Meet = (at: CrashPoint['at'], type: string) => void

const JOIN = '/weir.v1.Fleet/Join'

export function listen(meet: Meet): void {
  listenToStreams(meet)
  listenToFiles(meet)
}

function listenToStreams(meet: Meet): void {
  const { createServer } = http2
  http2.createServer = ((...args: Parameters<typeof createServer>): Http2Server => {
    const server = createServer(...args)
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      if (headers[':path'] === JOIN) tap(stream, meet)
    })
    return server
  }) as typeof createServer
  syncBuiltinESMExports()
}

function tap(stream: ServerHttp2Stream, meet: Meet): void {
  const [commands, reports] = [new GrpcMessages(), new GrpcMessages()]
  const { write, emit } = stream
  stream.write = function (this: ServerHttp2Stream, ...args: unknown[]) {
    for (const bytes of commands.add(args[0] as Uint8Array)) told(control.Command.decode(bytes), meet)
    return Reflect.apply(write, this, args) as boolean
  }
  stream.emit = function (this: ServerHttp2Stream, ...args: [string | symbol, ...unknown[]]) {
    if (args[0] === 'data') {
      for (const bytes of reports.add(args[1] as Uint8Array)) heard(control.Report.decode(bytes), meet)
    }
    return Reflect.apply(emit, this, args) as boolean
  }
}

function told({ body }: control.Command, meet: Meet): void {
  if (body?.$case === 'batch') for (const command of body.value.commands) told(command, meet)
  else if (body) meet('command', body.$case)
}

function heard({ body }: control.Report, meet: Meet): void {
  if (body?.$case === 'batch') for (const report of body.value.reports) heard(report, meet)
  else if (body) meet('report', body.$case)
}

/** A claim writes head.json too; a publish has written its manifest just before. */
function listenToFiles(meet: Meet): void {
  const { renameSync } = fs
  let hasManifest = false
  fs.renameSync = (from, to) => {
    const path = String(to)
    if (/\/epochs\/.*manifest/.test(path)) hasManifest = true
    if (hasManifest && path.endsWith('/head.json')) {
      hasManifest = false
      meet('file', 'publish')
    }
    renameSync(from, to)
  }
  syncBuiltinESMExports()
}
