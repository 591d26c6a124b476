// Texts to tokens, with the characters behind each: what the Python library `tokenizers` knows and its JavaScript
// namesake does not say. Characters are counted in UTF-16, as JavaScript does.

import { Tokenizer } from "./tokenizers.js";

const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;
const SPACE = /[\s\u2581]/u;
const MARK = /\u2581/gu; // stands for a space in tokens of sentencepiece
const CLUSTER = /\P{M}\p{M}*|\p{M}+/gu; // a letter with its accents: normalisers may join or split them
const utf8 = new TextEncoder();

export class Reader {
  /** Of the content of tokenizer.json and of tokenizer_config.json. */
  constructor(json, config) {
    this.tokenizer = new Tokenizer(json, config);
    const splits = (name) => JSON.stringify(json.pre_tokenizer ?? "").includes(`"${name}"`);
    this.isByteLevel = splits("ByteLevel");
    this.hasSpaces = (this.isByteLevel || splits("Metaspace")) && !splits("WhitespaceSplit"); // a part of the tokens
    this.prefix = json.model.type === "WordPiece" ? json.model.continuing_subword_prefix : null;
    this.unknown = json.model.unk_token ?? json.model.vocab?.[json.model.unk_id]?.[0];
    this.vocabulary = [...this.tokenizer.get_vocab().keys()];
    this.unknownId = this.tokenizer.token_to_id(this.unknown);
    this.added = new Map(json.added_tokens.map((one) => [one.content, one.id]));
    const contents = [...this.added.keys()].sort((a, b) => b.length - a.length);
    const strips = new Map(json.added_tokens.map((one) => [one.content, [one.lstrip, one.rstrip]]));
    const escaped = contents.map((one) => {
      const [left, right] = strips.get(one).map((is) => (is ? "\\s*" : ""));
      return left + one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + right;
    });
    this.splitter = escaped.length ? new RegExp(`(${escaped.join("|")})`, "u") : /$^/u;
    const [pair, one] = [this.#frame(["\0a"], ["\0b"]).tokens, this.#frame(["\0a"], null).tokens];
    this.start = one.indexOf("\0a"); // special tokens before a text, between two; in all, around one and two
    this.between = pair.indexOf("\0b") - pair.indexOf("\0a") - 1;
    this.special = [one.length - 1, pair.length - 2];
  }

  /** The tokens of a text, without those around it: [{token, start, end}]; equal ends: no characters. */
  read(text) {
    const found = [];
    let start = 0;
    for (const [index, section] of text.split(this.splitter).entries()) {
      const token = index % 2 ? section.trim() : null; // some take the white space beside them
      const at = start + section.indexOf(token);
      if (token && this.added.has(token)) found.push({ token, start: at, end: at + token.length });
      else if (section) found.push(...this.#section(section, index, start));
      start += section.length;
    }
    return found;
  }

  /** Tokens of one text or two as the model reads them: ids, types, and where each text's own tokens begin. */
  encode(first, second = null) {
    const name = (one) => one.token;
    const { tokens, token_type_ids } = this.#frame(first.map(name), second && second.map(name));
    const id = (token) => this.tokenizer.token_to_id(token) ?? this.unknownId ?? 0;
    const starts = [this.start, this.start + first.length + this.between];
    return { ids: tokens.map(id), types: token_type_ids ?? tokens.map(() => 0), starts };
  }

  /** The text of one token, without the mark of a word's continuation. */
  text(id) {
    const token = this.tokenizer.decode([id]);
    return (this.prefix && token.startsWith(this.prefix) ? token.slice(this.prefix.length) : token).trim();
  }

  /** Whether a token continues a word. */
  continues(id) {
    const token = this.tokenizer.id_to_token(id) ?? "";
    if (this.added.has(token)) return false;
    return this.prefix === null ? !/^[\u2581\u0120]/u.test(token) : token.startsWith(this.prefix);
  }

  #frame(first, second) {
    const post = this.tokenizer.post_processor;
    return post ? post(first, second, true) : { tokens: [...first, ...(second ?? [])] };
  }

  #section(section, index, start) {
    const { normalizer, pre_tokenizer: split, model } = this.tokenizer;
    const clean = (text) => (normalizer ? normalizer(text) : text);
    const stream = []; // [start, end] of the character behind each byte of the normalised text
    for (const { 0: cluster, index: at } of section.matchAll(CLUSTER)) {
      const own = [start + at, start + at + cluster.length];
      for (const character of clean(cluster)) {
        if (this.hasSpaces || !SPACE.test(character)) utf8.encode(character).forEach(() => stream.push(own));
      }
    }
    const whole = clean(section);
    const parts = whole ? (split ? split(whole, { section_index: index }) : [whole]) : [];
    const found = [];
    // A space that is put before the text is in no stream.
    let end = Math.min(0, stream.length - parts.reduce((sum, part) => sum + this.#length(part), 0));
    for (const part of parts) {
      const tokens = model([part]);
      let read = end;
      end += this.#length(part);
      for (const [number, token] of tokens.entries()) {
        const later = tokens.slice(number + 1);
        const isUnknown = token === this.unknown;
        const length = isUnknown ? Math.max(end - read - this.#least(later), 1) : this.#length(token, number);
        const stop = later.length ? Math.min(read + length, end) : end;
        found.push({ token, ...span(stream, read, stop) });
        read = stop;
      }
    }
    return found;
  }

  /** Bytes of a part of a text, or of a token: without spaces, and without the mark of a continuation. */
  #length(token, number = 0) {
    if (BYTE_TOKEN.test(token)) return 1;
    if (this.isByteLevel) return [...token].length;
    const own = number && this.prefix && token.startsWith(this.prefix) ? token.slice(this.prefix.length) : token;
    const counted = this.hasSpaces ? own.replace(MARK, " ") : [...own].filter((one) => !SPACE.test(one)).join("");
    return utf8.encode(counted).length;
  }

  /** Bytes that these tokens need; an unknown one needs one. */
  #least(tokens) {
    return tokens.reduce((sum, one) => sum + (one === this.unknown ? 1 : this.#length(one, 1)), 0);
  }
}

/** The characters behind bytes; of a token that has none, a space put before a word, the one that follows. */
function span(stream, from, to) {
  const first = Math.max(from, 0);
  const last = Math.min(Math.max(to, first + 1), stream.length);
  return first < last ? { start: stream[first][0], end: stream[last - 1][1] } : { start: 0, end: 0 };
}
