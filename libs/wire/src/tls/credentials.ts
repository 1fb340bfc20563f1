/** What gRPC listens and calls with: both ends show a certificate of the fleet's authority, or nothing is encrypted (loopback). */
import { ChannelCredentials, ServerCredentials, experimental } from '@grpc/grpc-js'
import type { WeirError } from '@weir/model'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { CertificateFiles } from './certificate-files.ts'
import type { TlsSettings } from './settings.ts'

/** One set of files is watched once in a thread. */
const watched = new Map<string, CertificateFiles>()

function filesOf(tls: TlsSettings): CertificateFiles {
  const name = JSON.stringify(tls)
  const files = watched.get(name) ?? new CertificateFiles(tls, tell)
  watched.set(name, files)
  return files
}

/** Whoever runs this has no logger here, and must hear of it before the old certificate ends. */
const tell = (error: WeirError): void => process.emitWarning(error.message, { code: error.code })

/** Who calls without a certificate of the authority is not let in. Throws `TLS_FILES_UNUSABLE` (invalid). */
export function serverCredentials(tls: TlsSettings | null): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure()
  const files = filesOf(tls)
  return experimental.createCertificateProviderServerCredentials(files, files, true)
}

/** Throws `TLS_FILES_UNUSABLE` (invalid). */
export function channelCredentials(tls: TlsSettings | null): ChannelCredentials {
  if (tls === null) return ChannelCredentials.createInsecure()
  const files = filesOf(tls)
  const { serverName } = tls
  const verify =
    serverName === null
      ? {}
      : { checkServerIdentity: (_: string, shown: PeerCertificate) => checkServerIdentity(serverName, shown) }
  return experimental.createCertificateProviderChannelCredentials(files, files, verify)
}
