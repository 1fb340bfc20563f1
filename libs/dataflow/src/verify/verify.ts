/**
 * Reads everything again and compares: receipts among themselves, what they say of outputs and inputs with what is there.
 * Nothing is believed but the receipts, and of these only what the next one confirms.
 */
import { chainFindings, readChains, type VerifyDeps, type VerifyOptions } from './chains.ts'
import { FINDINGS_MAX, type Finding } from './finding.ts'
import { verifyInputs } from './inputs.ts'
import { verifyOutputs } from './outputs.ts'

export interface Verification {
  readonly receipts: number
  /** Records that fit their receipt; each input once, however many sinks speak of it. */
  readonly outputs: number
  readonly inputs: number
  readonly findings: readonly Finding[]
  /** There are more than are listed. */
  readonly more: boolean
}

/** Throws as `Topics`; what does not fit is no error but a finding. */
export async function verifyJob(options: VerifyOptions, deps: VerifyDeps): Promise<Verification> {
  const chains = await readChains(options, deps)
  const findings: Finding[] = [...chains.values()].flatMap((chain) => chainFindings(chain))
  const outputs = await verifyOutputs(options, deps, chains)
  const inputs = await verifyInputs(deps, chains)
  findings.push(...outputs.findings, ...inputs.findings)
  const receipts = [...chains.values()].reduce((n, chain) => n + chain.length, 0)
  return {
    receipts,
    outputs: outputs.records,
    inputs: inputs.records,
    findings: findings.slice(0, FINDINGS_MAX),
    more: findings.length > FINDINGS_MAX,
  }
}
