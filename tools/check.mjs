// What CI runs: the same as `npm test`.
import './test.mjs'
