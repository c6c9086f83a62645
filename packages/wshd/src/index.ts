/**
 * The init driver: makes a container's directory, starts its init (`wshd`) and talks to it over
 * `run/wshd.sock`.
 *
 * Init itself is a static C program that this package ships, together with `wsh`, the operator's shell into a
 * container, and the skeleton of hooks.
 *
 * @packageDocumentation
 */

export { type WshdOptions, wshd } from './driver.ts';
export { INIT_FAILPOINTS, WSHD_PREFIX } from './failpoints.ts';
export { type InsecureInitOptions, insecureInit } from './insecure-driver.ts';
export { unpackProgram } from './skeleton.ts';
