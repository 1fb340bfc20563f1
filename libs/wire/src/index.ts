export { fromServiceError, toServiceError } from './errors.ts'
export { checkToken } from './token.ts'
export { tlsSettings, type TlsSettings } from './tls/settings.ts'
export { channelCredentials, serverCredentials } from './tls/credentials.ts'
export { sendProblem, type HttpReply } from './problem.ts'
export { reportEvent, type SliceReportMessage } from './control/slice-report.ts'
export { batchedCall, type JoinCall } from './batches.ts'
export * from './fleet-server.ts'
export {
  FleetClient,
  MESSAGE_BYTES_MAX,
  type FleetClientDeps,
  type FleetClientOptions,
  type FleetStream,
} from './fleet-client.ts'
export { GrpcExchange, type GrpcExchangeOptions } from './exchange.ts'
export { LINK_TIMEOUT_MS } from './link.ts'
export { SlotExchange, ThreadExchange, ThreadHub, type LinkIntroduced, type LinkRequest } from './thread-exchange.ts'
export { JobsClient } from './jobs-client.ts'
export type { Failure, JanitorAnswer, JanitorRequest, SinkToSettle, SliceCommand, SliceId } from '@weir/job'
export { listenSettings, requireNode, type ListenSettings } from './settings.ts'
