//! The table of answers of real products, through the code of the example `cases`.

#[path = "../examples/cases/row.rs"]
mod row;

use icap_verdict::{Category, Problem, Verdict};
use row::Row;

fn rows(table: &str) -> Vec<Row> {
    let path = format!("{}/tests/{table}.csv", env!("CARGO_MANIFEST_DIR"));
    let mut reader = csv::Reader::from_path(path).expect("a table");
    reader.deserialize().collect::<Result<_, _>>().expect("rows")
}

fn all() -> Vec<Row> {
    let mut all = rows("verdict_cases");
    all.extend(rows("more_cases"));
    all
}

#[test]
fn every_row_has_its_verdict() {
    let rows = all();
    assert!(rows.len() > 65);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| row.verdict().as_str() != row.expected_verdict)
        .map(|row| format!("{} {}: {}", row.id, row.expected_verdict, row.verdict()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `A | B`, `A (x3)`, or nothing.
#[test]
fn every_row_has_its_threats() {
    for row in all() {
        let expected = &row.expected_threats;
        if expected == "(sanitized)" {
            continue;
        }
        let expected: Vec<String> = expected
            .split(" | ")
            .filter(|name| !name.is_empty())
            .flat_map(|name| match name.rsplit_once(" (x") {
                Some((name, times)) => {
                    vec![name.to_owned(); times.trim_end_matches(')').parse().expect("a number")]
                }
                None => vec![name.to_owned()],
            })
            .collect();
        let verdict = row.verdict();
        let names = verdict.threats().iter().filter_map(|threat| threat.name.clone());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{}", row.id);
    }
}

/// What the detail column says in words that are names here.
#[test]
fn every_row_has_its_details() {
    for row in all() {
        let verdict = row.verdict();
        for detail in row.expected_detail.split(';').map(str::trim) {
            let seen = |value: Option<&str>| value.map(str::to_owned);
            let (found, wanted) = match (detail.split_once('='), &verdict) {
                (Some(("rule", rule)), _) => {
                    let rule = rule.split(' ').next();
                    let own =
                        verdict.details().rule.as_deref().and_then(|rule| rule.split(' ').next());
                    (seen(own), seen(rule))
                }
                (Some(("category", name)), Verdict::Block(block)) => {
                    (seen(Some(block.category.as_str())), seen(Some(name)))
                }
                (Some(("reason", text)), Verdict::Block(block)) if !text.starts_with("X-") => {
                    let text = text.split(" (").next();
                    (block.details.text.clone(), seen(text))
                }
                (Some(("code", code)), Verdict::Error(problem)) => {
                    (problem.code.clone(), seen(Some(code)))
                }
                (Some(("server_action", action)), _) => {
                    (seen(Some(verdict.server_action().as_str())), seen(Some(action)))
                }
                (Some(("retryable", flag)), Verdict::Error(problem)) => {
                    (Some(problem.retryable.to_string()), seen(Some(flag)))
                }
                (Some(("block_page", _)), Verdict::Block(block)) => {
                    let start = block.page.as_ref().map(|page| page.start.clone());
                    assert!(start.is_some_and(|start| !start.is_empty()), "{}", row.id);
                    continue;
                }
                (Some(("block_page_url", _)), Verdict::Block(block)) => {
                    assert!(
                        block.page.as_ref().is_some_and(|page| page.location.is_some()),
                        "{}",
                        row.id
                    );
                    continue;
                }
                (None, Verdict::Error(Problem { kind, .. })) => {
                    (seen(Some(kind.as_str())), seen(detail.split(':').next()))
                }
                (None, Verdict::Block(block)) if detail == "infected" => {
                    assert_eq!(block.category, Category::Malware, "{}", row.id);
                    continue;
                }
                (None, Verdict::Block(block)) if detail.starts_with("contradiction") => {
                    assert!(block.contradiction, "{}", row.id);
                    continue;
                }
                _ => continue,
            };
            assert_eq!(found, wanted, "{}: {detail}", row.id);
        }
    }
}

#[test]
fn an_answer_is_recognised_as_its_product() {
    for row in all().into_iter().filter(|row| row.vendor.starts_with("symantec-dlp")) {
        let expected = row.verdict();
        if expected.details().scanner.istag.is_none() {
            continue;
        }
        let auto = Row { vendor: "whoever".into(), ..row };
        assert_eq!(auto.verdict(), expected, "{}", auto.id);
    }
}

#[test]
fn every_line_of_a_log_is_one() {
    for row in all() {
        let line = row.verdict().to_string();
        assert!(line.len() < 1200 && !line.chars().any(char::is_control), "{}: {line}", row.id);
    }
}
