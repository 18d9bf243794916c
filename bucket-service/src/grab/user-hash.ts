/** A user as two numbers of 32 bits, which another user shares by a chance of one in 2^64. */
export interface UserHash {
  first: number;
  second: number;
}

/** FNV-1a, and another one that mixes the letters in another way. Written into `hash`, because it is made for every grab. */
export function hashUser(user: string, hash: UserHash): void {
  let first = 0x811c9dc5;
  let second = 0x9e3779b9;
  for (let i = 0; i < user.length; i += 1) {
    const letter = user.charCodeAt(i);
    first = Math.imul(first ^ letter, 0x01000193);
    second = Math.imul((second + letter) | 0, 0x85ebca6b) ^ (second >>> 15);
  }
  hash.first = first >>> 0;
  hash.second = second >>> 0;
}
