export { openStateStore, LevelStateStore, type StateStoreOptions, type StateStoreDeps } from './store.ts'
