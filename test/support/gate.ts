export { gate } from '../../src/testing/gate.js'
