import { claimStoreContract } from './testing/claim-store-contract.ts'
import { MemoryTier, memoryPlace } from './testing/memory-tier.ts'
import { TierClaims } from './tier-claims.ts'

claimStoreContract('claims over a tier', () => {
  const place = memoryPlace()
  return Promise.resolve({
    open: (options) => Promise.resolve(new TierClaims(options, new MemoryTier(place))),
    pass: (ms) => {
      place.nowMs += ms
      return Promise.resolve()
    },
  })
})
