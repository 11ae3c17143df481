// What engines without prefixes and listings share.

/** The first string behind all that start with a prefix of ASCII. */
export const endOf = (prefix) => prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)

/** The part of a key up to the first slash behind a prefix. */
export const childOf = (key, prefix) => key.slice(0, key.indexOf('/', prefix.length) + 1)
