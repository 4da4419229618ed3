//! The strict grammar once more, slow and plain: every rule is read from its text, nothing is shared with the parser.
//!
//! Where the RFCs leave something open the reference takes it; it says no only where no reading allows the bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The rule that is broken.
pub(crate) type Broken = &'static str;

type Field = (String, Vec<u8>);

fn is_token(bytes: &[u8]) -> bool {
    let other = b"!#$%&'*+-.^_`|~";
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || other.contains(b))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == b'\t' || (0x20..0x7f).contains(&b) || b >= 0x80)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let Some(start) = bytes.iter().position(|b| !blank(b)) else { return b"" };
    let end = bytes.iter().rposition(|b| !blank(b)).unwrap();
    &bytes[start..=end]
}

fn decimal(bytes: &[u8]) -> Result<u64, Broken> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err("1*DIGIT");
    }
    // Only digits are left, so nothing that `parse` takes besides them matters.
    std::str::from_utf8(bytes).unwrap().parse().map_err(|_| "a number of 64 bits")
}

/// The lines up to the first empty one, and where that ends.
fn lines(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), Broken> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an empty line")?;
    let lines: Vec<&[u8]> = split(&bytes[..end]);
    for line in &lines {
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err("no CR, LF or NUL but at the end of a line");
        }
    }
    Ok((lines, end + 4))
}

/// At every CRLF.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    while at + 1 < bytes.len() {
        if &bytes[at..at + 2] == b"\r\n" {
            lines.push(&bytes[start..at]);
            start = at + 2;
            at += 1;
        }
        at += 1;
    }
    lines.push(&bytes[start..]);
    lines
}

/// RFC 9112 section 5; folds in fields of extensions alone.
fn fields(lines: &[&[u8]]) -> Result<Vec<Field>, Broken> {
    let mut fields: Vec<Field> = Vec::new();
    for line in lines {
        if !is_value(line) {
            return Err("field-value");
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            let (name, value) = fields.last_mut().ok_or("no blank before the first field")?;
            if !name.to_ascii_lowercase().starts_with("x-") {
                return Err("no fold");
            }
            value.push(b' ');
            value.extend_from_slice(trim(line));
            continue;
        }
        let colon = line.iter().position(|b| *b == b':').ok_or("a colon")?;
        if !is_token(&line[..colon]) {
            return Err("field-name");
        }
        let name = String::from_utf8(line[..colon].to_vec()).unwrap();
        fields.push((name, trim(&line[colon + 1..]).to_vec()));
    }
    Ok(fields)
}

fn all<'a>(fields: &'a [Field], name: &str) -> Vec<&'a [u8]> {
    let named = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.map(|(_, value)| &value[..]).collect()
}

/// RFC 3507 section 4.4.1: names and offsets.
pub(crate) fn list(value: &[u8]) -> Result<Vec<(String, usize)>, Broken> {
    const NAMES: [&str; 6] =
        ["req-hdr", "res-hdr", "req-body", "res-body", "opt-body", "null-body"];
    let members: Vec<&[u8]> = value.split(|b| *b == b',').map(trim).collect();
    if members.iter().filter(|member| member.is_empty()).count() > 32 {
        return Err("a reasonable number of empty members");
    }
    let mut list: Vec<(String, usize)> = Vec::new();
    for member in members.into_iter().filter(|member| !member.is_empty()) {
        let equals = member.iter().position(|b| *b == b'=').ok_or("name=offset")?;
        let name =
            NAMES.iter().find(|name| name.as_bytes() == &member[..equals]).ok_or("entity")?;
        let offset = usize::try_from(decimal(&member[equals + 1..])?).map_err(|_| "offset")?;
        if offset > 256 * 1024 {
            return Err("limit");
        }
        list.push(((*name).to_owned(), offset));
    }
    let order: Vec<usize> = list
        .iter()
        .map(|(name, _)| NAMES.iter().position(|known| known == name).unwrap())
        .collect();
    let bodies = order.iter().filter(|place| **place >= 2).count();
    if bodies != 1 || order.last().is_none_or(|place| *place < 2) {
        return Err("one body at the end");
    }
    if list[0].1 != 0 || list.windows(2).any(|pair| pair[0].1 >= pair[1].1) {
        return Err("offsets that rise from 0");
    }
    if order.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("wire order");
    }
    Ok(list)
}

/// RFC 3507 section 4.2 with the characters of RFC 3986.
pub(crate) fn uri(uri: &[u8]) -> Result<(), Broken> {
    let text = std::str::from_utf8(uri).map_err(|_| "ASCII")?;
    let (scheme, rest) = text.split_once("://").ok_or("scheme://")?;
    if !matches!(scheme.to_ascii_lowercase().as_str(), "icap" | "icaps") {
        return Err("icap");
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_port = match authority.rsplit_once('@') {
        Some((user, host)) if characters(user, ":") => host,
        Some(_) => return Err("userinfo"),
        None => authority,
    };
    let port = if let Some(rest) = host_port.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("]")?;
        address.parse::<Ipv6Addr>().map_err(|_| "IPv6 address")?;
        port
    } else {
        let (host, port) = host_port.split_at(host_port.find(':').unwrap_or(host_port.len()));
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if host.is_empty() || !characters(host, "") || numeric && host.parse::<Ipv4Addr>().is_err()
        {
            return Err("host");
        }
        port
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => {}
        Some("") => {}
        Some(digits) if decimal(digits.as_bytes())? <= 65_535 => {}
        _ => return Err("port"),
    }
    if characters(tail, "/?:@") { Ok(()) } else { Err("path") }
}

/// unreserved, pct-encoded, sub-delims, and some more.
fn characters(text: &str, more: &str) -> bool {
    let mut parts = text.split('%');
    let plain = |part: &str| {
        part.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c) || more.contains(c))
    };
    plain(parts.next().unwrap_or_default())
        && parts.all(|part| {
            part.len() >= 2
                && part.bytes().take(2).all(|b| b.is_ascii_hexdigit())
                && plain(&part[2..])
        })
}

/// A request head with its sections: how long it is.
pub(crate) fn request(bytes: &[u8]) -> Result<usize, Broken> {
    let (lines, end) = lines(bytes)?;
    let words: Vec<&[u8]> = lines[0].split(|b| *b == b' ').collect();
    let [method, target, b"ICAP/1.0"] = words[..] else { return Err("Method SP URI SP ICAP/1.0") };
    if !is_token(method) {
        return Err("method");
    }
    uri(target)?;
    let fields = fields(&lines[1..])?;
    let list = common(&fields)?;
    if all(&fields, "host").is_empty() {
        return Err("Host");
    }
    for value in all(&fields, "preview") {
        decimal(value)?;
    }
    let names: Vec<&str> = list.iter().flatten().map(|(name, _)| name.as_str()).collect();
    // The table of section 4.4.1 with errata e1 and e4.
    let fits = match method {
        b"REQMOD" => matches!(names[..], ["req-hdr", "req-body" | "null-body"] | ["req-body"]),
        b"RESPMOD" => matches!(
            names[..],
            ["req-hdr", "res-hdr", "res-body" | "null-body"]
                | ["res-hdr", "res-body" | "null-body"]
                | ["req-hdr", "res-body"]
                | ["res-body"]
        ),
        b"OPTIONS" => matches!(names[..], [] | ["null-body" | "opt-body"]),
        _ => true,
    };
    if !fits {
        return Err("the entities of the method");
    }
    sections(bytes, end, list)
}

/// A response head with its sections: how long it is.
pub(crate) fn response(bytes: &[u8]) -> Result<usize, Broken> {
    let (lines, end) = lines(bytes)?;
    let rest = lines[0].strip_prefix(b"ICAP/1.0 ").ok_or("ICAP/1.0 SP")?;
    let [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', reason @ ..] = rest else {
        return Err("3DIGIT SP");
    };
    if !is_value(reason) {
        return Err("reason");
    }
    let list = common(&fields(&lines[1..])?)?;
    sections(bytes, end, list)
}

/// What holds for the fields of either head; the list of its parts.
fn common(fields: &[Field]) -> Result<Option<Vec<(String, usize)>>, Broken> {
    for name in ["transfer-encoding", "content-length"] {
        if !all(fields, name).is_empty() {
            return Err("no framing of HTTP");
        }
    }
    for name in ["encapsulated", "preview"] {
        if all(fields, name).len() > 1 {
            return Err("a field that stands once");
        }
    }
    for name in ["host", "istag"] {
        if all(fields, name).windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("a field with one value");
        }
    }
    for tag in all(fields, "istag") {
        let inner =
            tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).ok_or("quotes")?;
        let plain = inner.iter().all(|b| !matches!(b, b'"' | b'\\' | b'\t'));
        if inner.is_empty() || inner.len() > 32 || !plain {
            return Err("ISTag");
        }
    }
    match all(fields, "encapsulated")[..] {
        [value] => list(value).map(Some),
        _ => Ok(None),
    }
}

/// Each section is one HTTP head that ends in the first empty line within it.
fn sections(
    bytes: &[u8],
    start: usize,
    list: Option<Vec<(String, usize)>>,
) -> Result<usize, Broken> {
    let Some(list) = list else { return Ok(start) };
    for pair in list.windows(2) {
        let section = bytes.get(start + pair[0].1..start + pair[1].1).ok_or("all sections")?;
        let (lines, end) = lines(section)?;
        if end != section.len() {
            return Err("a section that ends with its empty line");
        }
        let version = |text: &[u8]| {
            matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit())
        };
        let words: Vec<&[u8]> = lines[0].split(|b| *b == b' ').collect();
        if pair[0].0 == "req-hdr" {
            let [method, target, last] = words[..] else { return Err("a request line") };
            let visible = target.iter().all(|&b| b > b' ' && b != 0x7f);
            if !is_token(method) || target.is_empty() || !visible || !version(last) {
                return Err("method SP target SP version");
            }
        } else {
            let status = words.get(1).is_some_and(|word| word.len() == 3 && decimal(word).is_ok());
            if !version(words[0]) || !status || !is_value(lines[0]) {
                return Err("a status line");
            }
        }
        fields(&lines[1..])?;
    }
    Ok(start + list.last().map_or(0, |(_, offset)| *offset))
}

/// RFC 9112 section 7.1: the data, and the length of the whole.
pub(crate) fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, usize), Broken> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or("CRLF")?;
        let line = &rest[..end];
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits == 0 || digits > 16 {
            return Err("1*HEXDIG");
        }
        let size = std::str::from_utf8(&line[..digits]).unwrap();
        let size = usize::from_str_radix(size, 16).map_err(|_| "size")?;
        extensions(&line[digits..])?;
        at += end + 2;
        if size == 0 {
            break;
        }
        let chunk = bytes.get(at..).and_then(|rest| rest.get(..size)).ok_or("data")?;
        data.extend_from_slice(chunk);
        at += size;
        if bytes.get(at..at + 2) != Some(b"\r\n") {
            return Err("CRLF behind the data");
        }
        at += 2;
    }
    if bytes.get(at..at + 2) == Some(b"\r\n") {
        return Ok((data, at + 2));
    }
    let (lines, end) = lines(&bytes[at..])?;
    fields(&lines)?;
    Ok((data, at + end))
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` with blanks at the end.
fn extensions(mut rest: &[u8]) -> Result<(), Broken> {
    let blanks = |rest: &[u8]| rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let token = |rest: &[u8]| rest.iter().take_while(|b| is_token(&[**b])).count();
    loop {
        rest = &rest[blanks(rest)..];
        let [b';', after @ ..] = rest else {
            return if rest.is_empty() { Ok(()) } else { Err("; or the end of the line") };
        };
        rest = &after[blanks(after)..];
        let name = token(rest);
        if name == 0 {
            return Err("the name of an extension");
        }
        rest = &rest[name..];
        let [b'=', after @ ..] = &rest[blanks(rest)..] else { continue };
        rest = &after[blanks(after)..];
        let len = match rest {
            [b'"', inside @ ..] => quoted(inside)? + 1,
            _ => token(rest),
        };
        if len == 0 {
            return Err("the value of an extension");
        }
        rest = &rest[len..];
    }
}

/// Behind the opening quote: bytes up to and with the closing one.
fn quoted(inside: &[u8]) -> Result<usize, Broken> {
    let mut at = 0;
    loop {
        match inside.get(at..).unwrap_or_default() {
            [b'"', ..] => return Ok(at + 1),
            [b'\\', next, ..] if is_value(&[*next]) => at += 2,
            [other, ..] if *other != b'\\' && is_value(&[*other]) => at += 1,
            _ => return Err("a quoted string"),
        }
    }
}
