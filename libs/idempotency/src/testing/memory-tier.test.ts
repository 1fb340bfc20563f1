import { claimTierContract } from './claim-tier-contract.ts'
import { MemoryTier, memoryPlace } from './memory-tier.ts'

claimTierContract('memory', () => {
  const place = memoryPlace()
  return Promise.resolve({
    ttlMsMin: 1,
    open: () => Promise.resolve(new MemoryTier(place)),
    pass: (ms) => {
      place.nowMs += ms
      return Promise.resolve()
    },
  })
})
