/** User → slot: the one number on which HAProxy, services and pack agree. */
import { crc32 } from "node:zlib";

/** How many slots the users are spread over; fixed, because HAProxy's map and every pack count on it. */
export const SLOTS = 1024;

/** IEEE CRC-32 of the user ID's UTF-8 bytes, modulo 1024: HAProxy's `crc32` gives the same number. */
export function slotOf(userId: string): number {
  return crc32(userId) % SLOTS;
}

const USER_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** Whether a text may be a user ID: 1 to 64 of A-Z a-z 0-9 . _ - ; case matters. */
export function isUserId(text: string): boolean {
  return USER_ID.test(text);
}
