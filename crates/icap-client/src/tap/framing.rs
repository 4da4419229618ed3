//! Which bytes of a direction are a body: just enough of ICAP's framing for that, on either side of the dialogue.

/// Of longer lines the rest is not looked at.
const LONGEST: usize = 512;
/// Who says that its heads are longer than this wants its body to pass for one.
const MOST_HEADS: u64 = 1024 * 1024;

/// Where the stream stands.
#[derive(Default)]
pub(super) struct Framing {
    at: At,
    /// The line that is being read.
    line: Vec<u8>,
    /// What stands behind this head.
    behind: Behind,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In front of a message, or of the chunks behind a preview.
    #[default]
    Start,
    /// In an ICAP head, behind its first line.
    Head,
    /// In the encapsulated heads.
    Heads {
        left: u64,
    },
    ChunkLine,
    Data {
        left: u64,
    },
    /// In the line end behind the data of a chunk.
    DataEnd,
    Trailers,
    /// Something is other than it should be.
    Lost,
}

/// What stands behind an ICAP head.
#[derive(Default, Clone, Copy)]
enum Behind {
    #[default]
    Nothing,
    Parts {
        heads: u64,
        has_body: bool,
    },
    /// `Encapsulated` cannot be read: where the body begins is not known.
    Unknown,
}

impl Framing {
    /// Takes the next byte; whether it is part of a body.
    pub(super) fn step(&mut self, byte: u8) -> bool {
        match self.at {
            At::Lost => return true,
            At::Data { left } => {
                let left = left.saturating_sub(1);
                self.at = if left == 0 { At::DataEnd } else { At::Data { left } };
                return true;
            }
            At::Heads { left } => {
                let left = left.saturating_sub(1);
                self.at = if left == 0 { self.behind_heads() } else { At::Heads { left } };
            }
            _ if byte == b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.at = self.behind_line(line.strip_suffix(b"\r").unwrap_or(&line));
                self.line = line;
                self.line.clear();
            }
            _ if self.line.len() < LONGEST => self.line.push(byte),
            _ => {}
        }
        false
    }

    /// Whether a message has just begun.
    pub(super) fn has_begun(&self) -> bool {
        self.at == At::Head
    }

    fn behind_line(&mut self, line: &[u8]) -> At {
        match self.at {
            At::Start if line.is_empty() => At::Start,
            At::Start => match chunk_size(line) {
                Some(size) => Self::chunk(size),
                None => {
                    self.behind = Behind::Nothing;
                    At::Head
                }
            },
            At::Head if line.is_empty() => match self.behind {
                Behind::Parts { heads: left, .. } if left > 0 => At::Heads { left },
                _ => self.behind_heads(),
            },
            At::Head => {
                self.behind = encapsulated(line).unwrap_or(self.behind);
                At::Head
            }
            At::ChunkLine => chunk_size(line).map_or(At::Lost, Self::chunk),
            At::DataEnd if line.is_empty() => At::ChunkLine,
            At::Trailers if line.is_empty() => At::Start,
            At::Trailers => At::Trailers,
            _ => At::Lost,
        }
    }

    const fn chunk(size: u64) -> At {
        if size == 0 { At::Trailers } else { At::Data { left: size } }
    }

    fn behind_heads(&self) -> At {
        match self.behind {
            Behind::Parts { has_body: true, .. } => At::ChunkLine,
            Behind::Unknown => At::Lost,
            _ => At::Start,
        }
    }
}

/// What `Encapsulated` says, if this is that line: the last part begins where the heads end.
fn encapsulated(line: &[u8]) -> Option<Behind> {
    const NAME: &[u8] = b"encapsulated:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let last = value.rsplit(|&b| b == b',').next().unwrap_or_default();
    let parts = std::str::from_utf8(last.trim_ascii()).ok().and_then(|last| {
        let (part, offset) = last.split_once('=')?;
        let is_body = part.trim().ends_with("-body");
        let heads = offset.trim().parse().ok().filter(|heads| is_body && *heads <= MOST_HEADS)?;
        Some(Behind::Parts { heads, has_body: part.trim() != "null-body" })
    });
    Some(parts.unwrap_or(Behind::Unknown))
}

/// The size in a chunk line; no start line of ICAP looks like one.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at_checked(end)?;
    if !matches!(rest.trim_ascii_start(), [] | [b';', ..]) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
