//! The program `demo`: what it says of itself by its exit code.

use tokio::process::Command;

#[tokio::test]
async fn every_verdict_of_the_demonstration_is_as_it_must_be() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output);
    let output = output.await.expect("it ends").expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("54 scans in") && !text.contains("WRONG"), "{text}");
    let (_, relayed) = text.split_once("Through secure-relay over TLS").expect("a part with TLS");
    // Each clean sample in each mode of the relay, each bad one, and the client without a certificate.
    for (what, count) in [("✔ allowed", 6), ("✘ blocked", 4), ("✔ refused", 2)] {
        assert_eq!(relayed.matches(what).count(), count, "{relayed}");
    }
}
