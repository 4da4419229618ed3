//! One line in, one answer out.

mod case;
mod chunked;
mod client;
mod head;
mod server;
mod values;

use serde_json::{Value, json};

use self::case::{Case, Role, Side};

/// The answer to a line, whatever the line is.
pub(crate) fn answer(line: &[u8]) -> Value {
    let mut id = Value::Null;
    let outcome = serde_json::from_slice::<Value>(line).and_then(|mut line| {
        id = line.get_mut("id").map(Value::take).unwrap_or_default();
        serde_json::from_value(line)
    });
    let mut answer = match outcome {
        Ok(case) => run(case),
        Err(error) => json!({ "result": "reject", "error": error.to_string() }),
    };
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("id".into(), id);
    }
    answer
}

/// An answer as text of one line, in ASCII: what reads it may take U+0085 for the end of a line, or expect Latin-1.
pub(crate) fn written(answer: &Value) -> String {
    let mut text = String::new();
    for c in answer.to_string().chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        // Only strings hold such characters.
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}

fn run(case: Case) -> Value {
    match case {
        Case::Chunked { input, preview, splits } => chunked::run(&input, preview, &splits),
        Case::Head { input, side: Side::Request, splits } => head::request(&input, &splits),
        Case::Head { input, side: Side::Response { method }, splits } => {
            head::response(&input, &method, &splits)
        }
        Case::Transaction { role: Role::Server, steps, splits } => server::run(&steps, &splits),
        Case::Transaction { role: Role::Client { context }, steps, splits } => {
            client::run(&context, &steps, &splits)
        }
    }
}
