//! One row of the table, and the answer that it describes.

use icap_proto::{Headers, HttpHead, InvalidHeader, Leniency, Limits, Method};
use icap_verdict::{Body, LooseAnswer, Problem, ProblemKind, Profile, Verdict};
use serde::Deserialize;

/// The columns that count. Cells with bytes are escaped: `\r`, `\n`, `\t`, `\0`, `\xNN`, `\\`.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) vendor: String,
    #[serde(default)]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) request_context: String,
    #[serde(default)]
    pub(crate) icap_status: String,
    #[serde(default)]
    pub(crate) icap_headers: String,
    #[serde(default)]
    pub(crate) http_start_line: String,
    #[serde(default)]
    pub(crate) http_headers: String,
    #[serde(default)]
    pub(crate) body_vs_sent: String,
    #[serde(default)]
    pub(crate) expected_verdict: String,
    /// For tests that look closer.
    #[serde(default)]
    #[allow(dead_code, reason = "the program compares verdicts only")]
    pub(crate) expected_detail: String,
    #[serde(default)]
    #[allow(dead_code, reason = "the program compares verdicts only")]
    pub(crate) expected_threats: String,
}

impl Row {
    /// The verdict of the answer.
    pub(crate) fn verdict(&self) -> Verdict {
        if let Some(problem) = self.no_answer() {
            return Verdict::Error(problem);
        }
        let bytes = self.bytes();
        let Some(answer) = LooseAnswer::parse(&bytes) else {
            return Verdict::Error(Problem::new(ProblemKind::Protocol, "no ICAP status line"));
        };
        let method = self.method();
        let sent = self.sent(&method).expect("the fallback is valid");
        let mut answer = answer.answer(&method, &sent, self.body());
        if self.is_unsolicited() {
            answer = answer.unsolicited();
        }
        self.profile().evaluate(&answer)
    }

    /// The word before a blank or bracket, or the first of several with slashes between that is known; words that are
    /// not mean `auto`.
    fn profile(&self) -> &'static Profile {
        let word = self.vendor.trim().split([' ', '(', '[']).next().unwrap_or_default();
        let known = Profile::named(word).or_else(|| word.split('/').find_map(Profile::named));
        known.unwrap_or_else(Profile::auto)
    }

    /// Why there is no answer, where the row has none.
    fn no_answer(&self) -> Option<Problem> {
        let status = self.icap_status.trim();
        if !status.is_empty()
            && status != "-"
            && !status.starts_with('(')
            && !status.eq_ignore_ascii_case("none")
        {
            return None;
        }
        let what = format!("{} {status}", self.request_context).to_ascii_lowercase();
        let kind = if ["timeout", "timed out", "time-out", "deadline", "no answer", "no response"]
            .iter()
            .any(|word| what.contains(word))
        {
            ProblemKind::Timeout
        } else if ["not icap", "garbage", "protocol", "parse"]
            .iter()
            .any(|word| what.contains(word))
        {
            ProblemKind::Protocol
        } else {
            ProblemKind::Connection
        };
        Some(Problem::new(kind, self.request_context.clone()))
    }

    /// The head of the answer with the HTTP head behind it.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.status_line().into_bytes();
        bytes.extend_from_slice(b"\r\n");
        push_block(&mut bytes, &unescape(&self.icap_headers));
        if !self.http_start_line.trim().is_empty() {
            bytes.extend(unescape(self.http_start_line.trim()));
            bytes.extend_from_slice(b"\r\n");
            push_block(&mut bytes, &unescape(&self.http_headers));
        }
        bytes
    }

    /// `204 No Content`, `413 (4xx)`, `4xx`, or a whole status line. Of `100 ... 200 ...` the final one.
    fn status_line(&self) -> String {
        let cell = self.icap_status.trim();
        if let Some(at) = cell.rfind("ICAP/").filter(|at| cell[..*at].contains("ICAP/1.0 100")) {
            return cell[at..].to_owned();
        }
        if !cell.starts_with(|first: char| first.is_ascii_digit()) {
            return cell.to_owned();
        }
        let code = |word: &str| {
            let digits = word.to_ascii_lowercase().replace("xx", "00");
            (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .then_some(digits)
        };
        let mut codes = cell.split(|char: char| !char.is_ascii_alphanumeric()).filter_map(code);
        let first = codes.next();
        let chosen = match first.as_deref() {
            Some("100") => codes.next().or(first),
            _ => first,
        };
        let Some(chosen) = chosen else { return cell.to_owned() };
        let reason = cell.rsplit_once(&*chosen).map_or("", |(_, reason)| reason.trim());
        format!("ICAP/1.0 {chosen} {reason}")
    }

    /// `any` is the method that the message inside fits.
    fn method(&self) -> Method {
        let name = self.method.trim().to_ascii_uppercase();
        let start = self.http_start_line.trim();
        if matches!(&*name, "" | "ANY" | "BOTH") || name.contains('/') {
            let is_request = !start.is_empty() && !start.starts_with("HTTP/");
            return if is_request { Method::Reqmod } else { Method::Respmod };
        }
        Method::from_bytes(name.as_bytes()).unwrap_or(Method::Respmod)
    }

    /// The head that was sent. The table has no column for it: where the body came back identical, so did the fields,
    /// the address and the status, but for what the context names.
    fn sent(&self, method: &Method) -> Result<HttpHead, InvalidHeader> {
        let is_same = self.body() == Body::Same;
        let fields = if is_same { self.returned_fields() } else { Vec::new() };
        if *method != Method::Reqmod {
            let status = self
                .sent_status()
                .or_else(|| is_same.then(|| status_of(&self.http_start_line)).flatten())
                .unwrap_or(200);
            return HttpHead::response(status, "OK", fields);
        }
        let mut returned = self.http_start_line.split(' ');
        let (verb, target) = (returned.next().unwrap_or_default(), returned.next());
        let sent = self.request_context.split("sent ").nth(1).unwrap_or_default();
        let mut sent = sent.split([' ', ';', ',']);
        let first = sent.next().unwrap_or_default();
        let is_verb = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase());
        let named = sent.next().filter(|word| word.starts_with('/') || word.contains("://"));
        let verb = if is_verb { first } else { verb };
        let target = named.filter(|_| is_verb).or(target).unwrap_or("http://misc/file");
        HttpHead::request(verb, target, fields)
            .or_else(|_| HttpHead::request("PUT", "http://misc/file", [("Host", "misc")]))
    }

    /// The status of the response that was sent, where the context names it: `sent HTTP/1.1 404`, `sent 404`.
    fn sent_status(&self) -> Option<u16> {
        let context = &self.request_context;
        if let Some((_, line)) = context.split_once("HTTP/") {
            return status_of(line);
        }
        let (_, sent) = context.split_once("sent ")?;
        sent.split([' ', ';', ',']).next()?.parse().ok()
    }

    /// The fields of the HTTP head that are no additions of the server.
    fn returned_fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut block = Vec::new();
        push_block(&mut block, &unescape(&self.http_headers));
        let headers = Headers::parse(block.into(), &Limits::default(), &Leniency::default());
        let headers = headers.unwrap_or_default();
        let own = headers.iter().filter(|field| !field.name.to_ascii_lowercase().starts_with("x-"));
        own.map(|field| (field.name.to_owned(), icap_proto::unfold(field.value).into_owned()))
            .collect()
    }

    fn body(&self) -> Body<'_> {
        let cell = self.body_vs_sent.trim();
        let lower = cell.to_ascii_lowercase();
        let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
        if self.is_cut() {
            return Body::Cut;
        }
        if lower.is_empty() || lower == "-" || starts(&["none", "no body", "absent", "null-body"]) {
            return if self.has_no_body() { Body::Same } else { Body::Absent };
        }
        let contains = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let is_other = starts(&["replaced", "modified", "changed", "different", "other", "empty"]);
        // `Same length, other bytes` is not the same, nor is a page that is identical for all.
        let differs = is_other
            || contains(&["not identical", "not the same", "other ", "another", "differ", "page"]);
        let is_same = starts(&["same", "echo", "original", "as sent", "equal", "="])
            || contains(&["identical", "unchanged", "unmodified", "not modified", "not changed"]);
        if is_same && !differs {
            return Body::Same;
        }
        let text = match cell.split_once(':') {
            Some((word, text)) if word.trim().eq_ignore_ascii_case("replaced") => text.trim(),
            _ if is_other => "",
            _ => cell,
        };
        Body::Other(text.as_bytes())
    }

    /// Whether the message inside is one that has no body which could be missing.
    fn has_no_body(&self) -> bool {
        let start = self.http_start_line.trim();
        let bodiless = ["GET ", "HEAD ", "CONNECT ", "DELETE ", "OPTIONS ", "TRACE "];
        bodiless.iter().any(|verb| start.starts_with(verb)) || status_of(start) == Some(304)
    }

    /// Whether the row is about an answer that ended before its end.
    fn is_cut(&self) -> bool {
        let context = self.request_context.to_ascii_lowercase();
        // What was sent may be cut, too.
        let sent = ["truncated zip", "truncated archive", "truncated file"];
        let context = sent.iter().fold(context, |context, words| context.replace(words, ""));
        [&self.body_vs_sent, &self.icap_status, &context].into_iter().any(|cell| tells_of_cut(cell))
    }

    /// Whether nobody allowed a 204 or 206: outside a preview it takes `Allow`.
    fn is_unsolicited(&self) -> bool {
        let context = self.request_context.to_ascii_lowercase();
        let contains = |words: &[&str]| words.iter().any(|word| context.contains(word));
        let without = |what: &str| {
            ["no ", "without ", "not "].iter().any(|no| context.contains(&format!("{no}{what}")))
        };
        let said = contains(&["unsolicited"]);
        let allows_nothing =
            contains(&["allow not sent", "allow header not sent", "allow header missing"])
                || ["allow;", "allow,", "allow ;"].iter().any(|what| without(what))
                || (without("allow") && context.trim_end().ends_with("allow"))
                || without("allow header");
        let outside = ["outside preview", "outside a preview", "outside the preview", "after 100"];
        let previewed = context.contains("preview") && !without("preview") && !contains(&outside);
        let line = self.status_line();
        if line.starts_with("ICAP/1.0 204") {
            let allowed = !(allows_nothing || without("allow: 204") || without("allow:204"));
            !previewed && (said || !allowed)
        } else if line.starts_with("ICAP/1.0 206") {
            let names_others = context.contains("allow:") && !context.contains("206");
            said || allows_nothing || without("allow: 206") || names_others
        } else {
            false
        }
    }
}

/// The status in a start line; in a request line there is none.
fn status_of(start_line: &str) -> Option<u16> {
    start_line.split(' ').nth(1)?.parse().ok().filter(|status| (100..600).contains(status))
}

/// Whether a description is of an answer that ended before its end.
fn tells_of_cut(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let phrases = [
        "truncated",
        "aborted by",
        "cut off",
        "cut short",
        "incomplete",
        "partiallyblocked",
        "breaks off",
        "broken off",
        "mid-body",
        "mid body",
        "mid-message",
        "middle of the body",
        "ends early",
        "last chunk missing",
        "last chunk is missing",
        "without last chunk",
        "no last chunk",
        "missing last chunk",
    ];
    let mut words = text.split(|char: char| !char.is_ascii_alphanumeric());
    matches!(text.trim(), "cut" | "aborted" | "partial")
        || phrases.iter().any(|phrase| text.contains(phrase))
        || words.any(|word| matches!(word, "eof" | "reset"))
}

/// Field lines and the empty line behind them.
fn push_block(bytes: &mut Vec<u8>, lines: &[u8]) {
    let lines = lines.trim_ascii_end();
    bytes.extend_from_slice(lines);
    bytes.extend_from_slice(if lines.is_empty() { b"\r\n" } else { b"\r\n\r\n" });
}

fn unescape(cell: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = cell.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let (byte, taken) = match (first, behind) {
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'0', ..]) => (0, 1),
            (b'\\', [b'\\', ..]) => (b'\\', 1),
            (b'\\', [b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'\\', 0),
            },
            _ => (*first, 0),
        };
        bytes.push(byte);
        rest = rest.get(taken..).unwrap_or_default();
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
