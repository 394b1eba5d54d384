/**
 * The parts of node:http that are needed. An ES module that imports it by name loads fetch and WebSocket along with it:
 * 14 MB, and a tenth of the start.
 */
export const { createServer, get, request, STATUS_CODES } = process.getBuiltinModule("node:http");
