//! The program `demo`: what it says of itself by its exit code.

use tokio::process::Command;

#[tokio::test]
async fn every_verdict_of_the_demonstration_is_as_it_must_be() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output);
    let output = output.await.expect("it ends").expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("44 scans in") && !text.contains("WRONG"), "{text}");
}
