//! The conformance shim over its corpus: every case uncut, cut in two at every place, and byte by byte.
//!
//! The corpus is `shim/*.jsonl`, one case a line: what the shim reads, with `note`, what it is about, and `expect`, the
//! values that the answer must have (a key that is not there is not compared). So that a case can be read, bytes are
//! text in Latin-1 there and not base64, or a list of texts and `[text, count]`; and a `body` in `expect` is the text
//! that `len` and `sha256` are made of.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "../examples/shim/run.rs"]
mod run;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icap_proto::wire::head::Response;
use icap_proto::{Leniency, Limits};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Inputs beyond this are cut in fewer ways.
const EVERY_CUT_TO: u64 = 700;

#[test]
fn chunked_bodies() {
    check("chunked.jsonl", 110);
}

#[test]
fn heads() {
    check("heads.jsonl", 270);
}

#[test]
fn transactions() {
    check("transactions.jsonl", 190);
}

/// A head is judged alone as it is judged by the connection that reads it.
#[test]
fn connections_agree_on_heads() {
    for case in corpus("heads.jsonl") {
        let head = answer(&case.line);
        let mut message = match head["consumed"].as_u64() {
            Some(used) => case.bytes()[..usize::try_from(used).unwrap()].to_vec(),
            None => case.bytes().to_vec(),
        };
        let dialogue = if case.line["side"] == "request" {
            let steps = json!([{ "recv": STANDARD.encode(message) }]);
            answer(&json!({ "kind": "transaction", "role": "server", "steps": steps }))
        } else {
            // A client holds an answer to the rules of its method when the embedded heads are there too.
            message.extend(embedded_heads(&message));
            let steps = json!([{ "recv": STANDARD.encode(message) }]);
            // All that can be allowed is, so that only the head can be wrong.
            let context = json!({
                "method": case.line["method"], "preview": 0, "body": true,
                "allow": ["204", "206", "trailers"],
            });
            answer(&json!({
                "kind": "transaction", "role": "client", "context": context, "steps": steps,
            }))
        };
        let note = case.note();
        if head["result"] == "reject" {
            assert_eq!(dialogue["result"], "reject", "{note}: {head} {dialogue}");
            assert_eq!(dialogue["status"], head["status"], "{note}");
        } else {
            assert_ne!(dialogue["result"], "reject", "{note}: {head} {dialogue}");
        }
    }
}

/// HTTP heads of the lengths that a response announces.
fn embedded_heads(message: &[u8]) -> Vec<u8> {
    let parsed = Response::parse(message, &Limits::default(), &Leniency::strict());
    let Ok(Some(head)) = parsed else { return Vec::new() };
    let Some(list) = head.encapsulated() else { return Vec::new() };
    let padded = |start: &str, length: Option<usize>| {
        let Some(length) = length else { return String::new() };
        format!("{start}\r\nX: {}\r\n\r\n", "x".repeat(length - start.len() - 9))
    };
    let heads =
        padded("GET / HTTP/1.1", list.req_hdr()) + &padded("HTTP/1.1 200 OK", list.res_hdr());
    assert_eq!(heads.len(), list.header_bytes());
    heads.into()
}

/// What is no case is answered all the same, and splits that make no sense change nothing.
#[test]
fn the_program_answers_every_line() {
    let good = r#"{"id":"a","kind":"chunked","preview":false,"input":"MA0KDQo=""#;
    let id = |id: &str| Value::from(id);
    let lines: Vec<(Vec<u8>, Value, &str)> = vec![
        (format!(r#"{good},"splits":[]}}"#).into(), id("a"), "ok"),
        (format!("{good}}}").into(), id("a"), "ok"),
        (format!(r#"{good},"splits":[4,1,1,0,5,99,18446744073709551615]}}"#).into(), id("a"), "ok"),
        (format!(r#"{good},"splits":[-1]}}"#).into(), id("a"), "reject"),
        (format!(r#"{good},"splits":[1.5]}}"#).into(), id("a"), "reject"),
        (format!(r#"{good},"splits":[18446744073709551616]}}"#).into(), id("a"), "reject"),
        (format!(r#"{good},"splits":[1e999]}}"#).into(), Value::Null, "reject"),
        (format!(r#"{good},"splits":7}}"#).into(), id("a"), "reject"),
        (format!(r#"{good},"more":[{{"x":null}}]}}"#).into(), id("a"), "ok"),
        (good.replace(r#""a""#, r#""\u0085\u2028𝄞""#).into_bytes(), Value::Null, "reject"),
        (
            format!("{}}}", good.replace(r#""a""#, "\"\u{85}\u{2028}𝄞\"")).into(),
            id("\u{85}\u{2028}𝄞"),
            "ok",
        ),
        (b"".into(), Value::Null, "reject"),
        (b"   ".into(), Value::Null, "reject"),
        (b"{".into(), Value::Null, "reject"),
        (b"\xff\xfe\0".into(), Value::Null, "reject"),
        (b"null".into(), Value::Null, "reject"),
        (b"[1,2]".into(), Value::Null, "reject"),
        (b"{}".into(), Value::Null, "reject"),
        (br#"{"id":7}"#.into(), json!(7), "reject"),
        (br#"{"id":{"a":[1]},"kind":"none"}"#.into(), json!({"a": [1]}), "reject"),
        (br#"{"id":1,"kind":"chunked","preview":"yes","input":""}"#.into(), json!(1), "reject"),
        (br#"{"id":2,"kind":"chunked","preview":true,"input":"*"}"#.into(), json!(2), "reject"),
        (br#"{"id":3,"kind":"head","input":""}"#.into(), json!(3), "reject"),
        (br#"{"id":4,"kind":"head","side":"response","input":""}"#.into(), json!(4), "reject"),
        (
            br#"{"id":5,"kind":"head","side":"response","method":"A B","input":""}"#.into(),
            json!(5),
            "reject",
        ),
        (br#"{"id":6,"kind":"head","side":"request","input":""}"#.into(), json!(6), "incomplete"),
        (br#"{"id":7,"kind":"transaction","role":"server"}"#.into(), json!(7), "reject"),
        (br#"{"id":8,"kind":"transaction","role":"client","steps":[]}"#.into(), json!(8), "reject"),
        (
            br#"{"id":9,"kind":"transaction","role":"server","steps":[{"act":"dance"}]}"#.into(),
            json!(9),
            "reject",
        ),
        (
            br#"{"id":10,"kind":"transaction","role":"server","steps":[{}]}"#.into(),
            json!(10),
            "reject",
        ),
        (br#"{"id":11,"kind":"transaction","role":"server","steps":[]}"#.into(), json!(11), "ok"),
        (
            br#"{"id":12,"kind":"transaction","role":"client","steps":[],"context":{"method":"REQMOD","preview":-1,"body":true}}"#.into(),
            json!(12),
            "reject",
        ),
        (
            br#"{"id":13,"kind":"transaction","role":"client","steps":[],"context":{"method":"OPTIONS","preview":null,"ieof":true,"allow":[204,"206"],"body":true}}"#.into(),
            json!(13),
            "incomplete",
        ),
        // What may be left out may be null, members of `allow` may share a text, and other keys are passed over.
        (
            br#"{"id":15,"kind":"chunked","preview":null,"splits":null,"input":"MA0KDQo="}"#.into(),
            json!(15),
            "ok",
        ),
        (
            br#"{"id":16,"kind":"transaction","role":"client","steps":[{"recv":"SUNBUC8xLjAgMjA0IE5vIENvbnRlbnQNCklTVGFnOiAidDEiDQoNCg==","note":"x"}],"context":{"method":"REQMOD","preview":null,"ieof":null,"allow":"trailers, 204"}}"#.into(),
            json!(16),
            "ok",
        ),
        (
            br#"{"id":17,"kind":"transaction","role":"client","steps":[{"recv":"SUNBUC8xLjAgMjA0IE5vIENvbnRlbnQNCklTVGFnOiAidDEiDQoNCg=="}],"context":{"method":"REQMOD","allow":null,"body":null}}"#.into(),
            json!(17),
            "reject",
        ),
        (
            br#"{"id":18,"kind":"transaction","role":"server","steps":[{"act":"final","recv":""}]}"#.into(),
            json!(18),
            "reject",
        ),
        ("[".repeat(1_000_000).into(), Value::Null, "reject"),
        (vec![b'x'; 1 << 20], Value::Null, "reject"),
        (
            format!(r#"{{"id":14,"kind":"chunked","preview":false,"input":"{}"}}"#, "AAAA".repeat(1 << 18)).into(),
            json!(14),
            "reject",
        ),
        (format!("{good}}}\r").into(), id("a"), "ok"),
    ];
    let mut program = Command::new(program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    // The last line has no end.
    let sent = lines.iter().map(|(line, ..)| &line[..]).collect::<Vec<_>>().join(&b'\n');
    let writer = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();

    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let answers = String::from_utf8(output.stdout).unwrap();
    assert!(answers.ends_with('\n'));
    assert_eq!(answers.lines().count(), lines.len());
    for (answer, (line, id, result)) in answers.lines().zip(&lines) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let line = String::from_utf8_lossy(&line[..line.len().min(120)]);
        assert_eq!((&answer["id"], &answer["result"]), (id, &json!(result)), "{line}: {answer}");
    }
}

/// The corpus through the program: the same answers, in order.
#[test]
fn the_program_answers_in_order() {
    let cases: Vec<Case> = ["chunked.jsonl", "heads.jsonl", "transactions.jsonl"]
        .into_iter()
        .flat_map(corpus)
        .collect();
    let mut program =
        Command::new(program()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = program.stdin.take().unwrap();
    let sent: String = cases.iter().map(|case| format!("{}\n", case.line)).collect();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let expected: String =
        cases.iter().map(|case| run::written(&answer(&case.line)) + "\n").collect();
    assert!(answers.is_ascii());
    assert!(answers == expected, "the program and the function that it calls differ");
}

/// One case as the shim reads it, and what must come out.
struct Case {
    line: Value,
    expect: Value,
    bytes: Vec<u8>,
}

impl Case {
    fn read(line: &str) -> Self {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let mut all = Vec::new();
        let mut encode = |text: &mut Value| {
            let bytes = bytes(text);
            all.extend_from_slice(&bytes);
            *text = STANDARD.encode(bytes).into();
        };
        if let Some(input) = line.get_mut("input") {
            encode(input);
        }
        for step in line.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(recv) = step.get_mut("recv") {
                encode(recv);
            }
        }
        let mut expect = line["expect"].take();
        for message in
            expect.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten()
        {
            if let Some(body) = message.get_mut("body").filter(|body| !body.is_null()) {
                *body = Value::Object(digest(body));
            }
        }
        if let Some(body) = expect.as_object_mut().unwrap().remove("body") {
            expect.as_object_mut().unwrap().extend(digest(&body));
        }
        Self { line, expect, bytes: all }
    }

    fn note(&self) -> &str {
        self.line["note"].as_str().unwrap()
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn cut(&self, splits: impl IntoIterator<Item = u64>) -> Value {
        let mut line = self.line.clone();
        line["splits"] = splits.into_iter().collect();
        answer(&line)
    }
}

fn corpus(name: &str) -> Vec<Case> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/shim").join(name);
    fs::read_to_string(path).unwrap().lines().map(Case::read).collect()
}

fn check(name: &str, at_least: usize) {
    let cases = corpus(name);
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let mut wrong = Vec::new();
    let mut runs = 0u64;
    for case in &cases {
        let uncut = answer(&case.line);
        if !has(&uncut, &case.expect) {
            wrong.push(format!("{}\n  got      {uncut}\n  expected {}", case.note(), case.expect));
        }
        let len = case.bytes().len() as u64;
        let every = if len <= EVERY_CUT_TO { 1..len } else { 0..0 };
        // Long ones around their ends, where limits and last lines are.
        let some = [1, 2, 40, len / 2, len.saturating_sub(3), len.saturating_sub(1)];
        let two = every.map(|cut| vec![cut]).chain(some.map(|cut| vec![cut]));
        let bytewise = (len <= 128 * 1024).then(|| (1..len).collect());
        for splits in two.chain(bytewise).chain([(1..len).step_by(4096).collect()]) {
            runs += 1;
            let cut = case.cut(splits.iter().copied());
            if cut != uncut {
                wrong.push(format!(
                    "{} cut at {:?}\n  got   {cut}\n  uncut {uncut}",
                    case.note(),
                    &splits[..splits.len().min(5)],
                ));
                break;
            }
        }
    }
    println!("{name}: {} cases, {} runs", cases.len(), runs + cases.len() as u64);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn answer(line: &Value) -> Value {
    run::answer(line.to_string().as_bytes())
}

/// Whether `answer` has everything that is expected. Lists must be as long.
fn has(answer: &Value, expected: &Value) -> bool {
    match (answer, expected) {
        (Value::Object(answer), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|answer| has(answer, value))),
        (Value::Array(answer), Value::Array(expected)) => {
            answer.len() == expected.len() && answer.iter().zip(expected).all(|(a, e)| has(a, e))
        }
        _ => answer == expected,
    }
}

/// Text in Latin-1, or a list of texts and `[text, count]`.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.chars().map(|c| u8::try_from(c).unwrap()).collect(),
        Value::Array(pair) if pair.len() == 2 && pair[1].is_u64() => {
            bytes(&pair[0]).repeat(usize::try_from(pair[1].as_u64().unwrap()).unwrap())
        }
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        other => panic!("no bytes: {other}"),
    }
}

fn digest(body: &Value) -> Map<String, Value> {
    let body = bytes(body);
    let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    [("len".into(), body.len().into()), ("sha256".into(), hash.into())].into_iter().collect()
}

/// The example that cargo has built next to this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let program = profile.join("examples").join(format!("shim{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "cargo test builds it; before cargo test --test, cargo build --example shim does"
    );
    program
}
