export { openStateStore, LevelStateStore, type StateStoreOptions, type StateStoreDeps } from './store.ts'
export { LocalCopies, dropCopies, podName, type LocalCopiesOptions } from './local-copies.ts'
export type { SegmentUpload } from './segment.ts'
export type { SchemaOf } from './migration.ts'
