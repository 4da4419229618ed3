//! The book shows the program that there is.

/// The lines that are not blank.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn the_book_has_every_line_of_the_proxy() {
    let program = include_str!("../src/bin/adapting_proxy.rs");
    let code = lines(program).into_iter().filter(|line| !line.starts_with("//!"));
    let book = include_str!("../../docs/embedding.md");
    let blocks = book.split("```rust,ignore\n").skip(1);
    let shown = blocks.flat_map(|block| lines(block.split("```").next().unwrap_or_default()));
    assert!(code.eq(shown), "docs/embedding.md and adapting_proxy.rs differ");
}

#[test]
fn the_proxy_stays_small() {
    assert!(include_str!("../src/bin/adapting_proxy.rs").lines().count() < 200);
}
