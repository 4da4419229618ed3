//! One direction of a connection without its secrets, whatever the pieces in which it comes.
//!
//! Two things look at each byte. [`Lines`] knows nothing of ICAP: in any line that begins with the name of a secret,
//! wherever that stands, it blanks the value, and so it does with user and password in a URI; no fault in the framing
//! shows one. [`Framing`] follows heads and chunks to tell which bytes are a body; where it loses its way, all that
//! follows is one.

use super::framing::Framing;

/// Fields whose values are not shown.
const SECRETS: [&str; 8] = [
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "X-Authenticated-User",
    "X-Authenticated-Groups",
    "X-Subscriber-ID",
    "X-Client-Username",
];
/// No name of a secret is as long as this.
const LONGEST_NAME: usize = 64;
/// An authority longer than this is not shown.
const LONGEST_AUTHORITY: usize = 512;

/// The bytes of one direction.
pub(super) struct Redactor {
    lines: Lines,
    framing: Framing,
    body_limit: u64,
    /// Bytes of this message's body that were seen.
    body: u64,
}

impl Redactor {
    pub(super) fn new(body_limit: u64) -> Self {
        Self { lines: Lines::default(), framing: Framing::default(), body_limit, body: 0 }
    }

    /// What may be shown of the bytes that come next. The authority of a URI is shown when all of it is there.
    pub(super) fn redact(&mut self, raw: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for &byte in raw {
            let is_body = self.framing.step(byte);
            if is_body {
                self.body = self.body.saturating_add(1);
            } else if self.framing.has_begun() {
                self.body = 0;
            }
            let hidden = is_body && self.body > self.body_limit;
            self.lines.step(byte, if hidden { None } else { Some(&mut shown) });
        }
        shown
    }

    /// Bytes of bodies that were left out in this message so far.
    pub(super) const fn omitted(&self) -> u64 {
        self.body.saturating_sub(self.body_limit)
    }
}

/// Blanks values by line.
#[derive(Default)]
struct Lines {
    /// The line up to its colon, while it may still be a name.
    name: Vec<u8>,
    state: Line,
    /// How many bytes of `://` have come.
    scheme: usize,
    /// What has come of an authority, which may yet turn out to begin with a user and a password.
    authority: Option<Vec<u8>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    #[default]
    Name,
    /// Nothing in it is secret but what stands in a URI.
    Plain,
    Secret,
    /// Behind the end of a secret line comes a fold of it or the next.
    BehindSecret,
}

impl Lines {
    /// Takes the next byte and adds to `shown` what may be, if anything is to be.
    fn step(&mut self, byte: u8, shown: Option<&mut Vec<u8>>) {
        let was_secret = self.follow(byte);
        let byte = if was_secret && !matches!(byte, b'\r' | b'\n') { b'*' } else { byte };
        let mut nowhere = Vec::new();
        let shown = shown.unwrap_or(&mut nowhere);
        let Some(authority) = &mut self.authority else {
            self.scheme = match (self.scheme, byte) {
                (0, b':') => 1,
                (1 | 2, b'/') => self.scheme.saturating_add(1),
                (_, b':') => 1,
                _ => 0,
            };
            if self.scheme == 3 {
                self.authority = Some(Vec::new());
                self.scheme = 0;
            }
            shown.push(byte);
            return;
        };
        match byte {
            b'@' => {
                authority.fill(b'*');
                if authority.len() < LONGEST_AUTHORITY {
                    authority.push(byte);
                }
            }
            b'/' | b'?' | b'#' | b' ' | b'\t' | b'\r' | b'\n' => {
                shown.append(authority);
                shown.push(byte);
                self.authority = None;
            }
            _ if authority.len() < LONGEST_AUTHORITY => authority.push(byte),
            // What is so long is no host: nothing of it is shown.
            _ if authority.last() != Some(&b'*') => authority.fill(b'*'),
            _ => {}
        }
    }

    /// Whether this byte is part of a secret value, or of the end of its line.
    fn follow(&mut self, byte: u8) -> bool {
        if self.state == Line::BehindSecret {
            self.state = if matches!(byte, b' ' | b'\t') { Line::Secret } else { Line::Name };
        }
        let is_secret = self.state == Line::Secret;
        self.state = match (byte, self.state) {
            (b'\n', Line::Secret) => Line::BehindSecret,
            (b'\n', _) => Line::Name,
            (b':', Line::Name) if self.is_secret() => Line::Secret,
            (b':', Line::Name) => Line::Plain,
            (_, Line::Name) if self.name.len() < LONGEST_NAME => {
                self.name.push(byte);
                Line::Name
            }
            (_, Line::Name) => Line::Plain,
            (_, state) => state,
        };
        if self.state != Line::Name || byte == b'\n' {
            self.name.clear();
        }
        is_secret
    }

    fn is_secret(&self) -> bool {
        let name = self.name.trim_ascii();
        SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const SENT: &str = "RESPMOD icap://me:hunter2@h:1344/s ICAP/1.0\r\n\
        Host: h:1344\r\nproxy-authorization : Basic hunter2\r\nX-Authenticated-User: hunter2\r\n\
        Encapsulated: req-hdr=0, res-hdr=96, res-body=149\r\nPreview: 4\r\n\r\n\
        GET http://me:hunter@2@www.example/a?b=http://c HTTP/1.1\r\nCookie: a=hunter2;\r\n\thunter2\r\nA: b\r\n\r\n\
        HTTP/1.1 200 OK\r\nSet-Cookie: hunter2\r\nB: http://c\r\n\r\n\
        4\r\nabcd\r\n0\r\n\r\n3;x=y\r\nefg\r\n0\r\nCookie: hunter2\r\n\r\n\
        OPTIONS icap://h/s ICAP/1.0\r\nAuthorization: hunter2\r\n\r\n";

    const SHOWN: &str = "RESPMOD icap://**********@h:1344/s ICAP/1.0\r\n\
        Host: h:1344\r\nproxy-authorization :**************\r\nX-Authenticated-User:********\r\n\
        Encapsulated: req-hdr=0, res-hdr=96, res-body=149\r\nPreview: 4\r\n\r\n\
        GET http://***********@www.example/a?b=http://c HTTP/1.1\r\nCookie:***********\r\n********\r\nA: b\r\n\r\n\
        HTTP/1.1 200 OK\r\nSet-Cookie:********\r\nB: http://c\r\n\r\n\
        4\r\nabcd\r\n0\r\n\r\n3;x=y\r\nef\r\n0\r\nCookie:********\r\n\r\n\
        OPTIONS icap://h/s ICAP/1.0\r\nAuthorization:********\r\n\r\n";

    fn shown(pieces: &[&[u8]], limit: u64) -> String {
        let mut redactor = Redactor::new(limit);
        let shown: Vec<u8> = pieces.iter().flat_map(|piece| redactor.redact(piece)).collect();
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn no_split_shows_a_secret() {
        let sent = SENT.as_bytes();
        assert_eq!(shown(&[sent], 6), SHOWN);
        for at in 0..sent.len() {
            assert_eq!(shown(&[&sent[..at], &sent[at..]], 6), SHOWN, "{at}");
        }
        let bytes: Vec<_> = sent.chunks(1).collect();
        assert_eq!(shown(&bytes, 6), SHOWN);
    }

    /// Each beginning of a stream, as if it went on with something else: no part of a secret is shown before it is
    /// known to be one.
    #[test]
    fn nothing_is_shown_too_early() {
        let sent = SENT.as_bytes();
        for at in 0..sent.len() {
            let shown = shown(&[&sent[..at]], 6);
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(SHOWN.starts_with(&shown), "{shown}");
        }
    }

    #[test]
    fn without_framing_all_is_a_body_and_secrets_stay_hidden() {
        let broken = b"OPTIONS * ICAP/1.0\r\nEncapsulated: what\r\n\r\nabc\r\nCookie: hunter2\r\n";
        let shown = shown(&[broken], 1000);
        assert!(shown.ends_with("abc\r\nCookie:********\r\n"), "{shown}");
        let mut redactor = Redactor::new(2);
        let shown = redactor.redact(broken);
        assert!(shown.ends_with(b"what\r\n\r\nab"), "{}", shown.escape_ascii());
        assert_eq!(redactor.omitted(), 20);
    }

    #[test]
    fn an_endless_authority_takes_no_memory_and_is_not_shown() {
        let mut redactor = Redactor::new(0);
        redactor.redact(b"GET http://");
        for _ in 0..100 {
            assert_eq!(redactor.redact(&[b'a'; 1000]), b"");
        }
        assert_eq!(redactor.redact(b"@h/ "), [&[b'*'; LONGEST_AUTHORITY][..], b"/ "].concat());
    }
}
