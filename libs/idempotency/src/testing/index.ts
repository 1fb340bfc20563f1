export { claimTierContract, type ClaimTierHarness } from './claim-tier-contract.ts'
export { claimStoreContract, type ClaimStoreHarness } from './claim-store-contract.ts'
export { MemoryTier, memoryPlace, type MemoryPlace } from './memory-tier.ts'
