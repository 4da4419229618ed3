//! Sub-commands, and starts that fail.

use std::os::unix::fs::PermissionsExt;

use icap::Server;
use icap_examples::engine::Engine;
use icap_examples::scan_service;

use crate::pki::{Pair, write_private};
use crate::program::{directory, nobody, run, tunnel};

#[tokio::test]
async fn a_new_identity_is_private_checked_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (code, certificate, said) =
        run(&["new-identity", "relay.pem", "--days", "90"], directory.path()).await;
    assert_eq!(code, 0, "{said}");
    assert!(certificate.contains("BEGIN CERTIFICATE") && !certificate.contains("PRIVATE"));
    let file = directory.path().join("relay.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let (code, _, said) = run(&["new-identity", "relay.pem"], directory.path()).await;
    assert!(code == 1 && said.contains("cannot make relay.pem"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn check_looks_at_everything_and_asks_the_servers() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let server = scan_service::install(server, &Engine::new()).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve_until(std::future::pending::<()>()));
    let directory = tempfile::tempdir().unwrap();
    run(&["new-identity", "relay.pem", "--days", "90"], directory.path()).await;
    let cloud = Pair::self_signed("cloud.test");
    std::fs::write(directory.path().join("cloud.pem"), cloud.certificate).unwrap();
    std::fs::write(directory.path().join("allow.txt"), "192.0.2.1\n192.0.2.2\n").unwrap();
    let config = |path: &str| {
        let more = "client-ca = 'cloud.pem'\nallow = 'allow.txt'";
        tunnel(&[address], more).replace(&address.to_string(), &format!("{address}{path}"))
    };
    let file = directory.path().join("relay.toml");
    std::fs::write(&file, config("/reqmod")).unwrap();
    let (code, said, _) = run(&["check", "--config", "relay.toml"], directory.path()).await;
    assert_eq!(code, 0, "{said}");
    for line in
        ["days left", "allow-list: 2", "clients need a certificate", ": TCP", "OPTIONS: REQMOD"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    std::fs::write(&file, config("/nowhere")).unwrap();
    let (code, said, _) = run(&["check", "--config", "relay.toml"], directory.path()).await;
    assert!(code == 0 && said.contains("warn  icap://"), "{said}");
    std::fs::write(&file, config("").replace(&address.to_string(), &nobody().await.to_string()))
        .unwrap();
    let (code, said, _) = run(&["check", "--config", "relay.toml"], directory.path()).await;
    assert!(code == 1 && said.contains("FAIL  icap://"), "{said}");
    std::fs::write(&file, "[[connection]]\nlisen = []").unwrap();
    let (code, said, _) = run(&["check", "--config", "relay.toml"], directory.path()).await;
    assert!(code == 2 && said.contains("did you mean `listen`"), "{said}");
}

/// In mode `icap`, the default, every server of both directions is asked.
#[tokio::test]
async fn check_in_mode_icap() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let server = scan_service::install(server, &Engine::new()).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve_until(std::future::pending::<()>()));
    let (directory, down) = (directory(), nobody().await);
    let check = |more: String| {
        let text =
            format!("[[connection]]\nlisten = ['127.0.0.1:0']\nidentity = 'relay.pem'\n{more}\n");
        std::fs::write(directory.path().join("relay.toml"), text).unwrap();
        run(&["check", "--config", "relay.toml"], directory.path())
    };
    let (reqmod, respmod) =
        (format!("icap://{address}/reqmod"), format!("icap://{address}/respmod"));
    let both = |reqmod: &str, respmod: &str| {
        format!("reqmod-upstream = ['{reqmod}']\nrespmod-upstream = ['{respmod}']")
    };
    let (code, said, _) =
        check(format!("{}\nprofile = 'symantec-dlp'", both(&reqmod, &respmod))).await;
    assert_eq!(code, 0, "{said}");
    for line in [format!("{reqmod}: OPTIONS: REQMOD"), format!("{respmod}: OPTIONS: RESPMOD")] {
        assert!(said.contains(&line), "{line}: {said}");
    }
    let dead = format!("icap://{down}/respmod");
    let (code, said, _) = check(both(&reqmod, &dead)).await;
    assert!(code == 1 && said.contains(&format!("FAIL  {dead}")), "{said}");
    assert_eq!(said.matches("FAIL").count(), 1, "{said}");
    let (code, said, _) = check(both(&reqmod, &respmod) + "\nprofile = 'no-such'").await;
    assert!(code == 2 && said.contains("no profile is called"), "{said}");
}

#[tokio::test]
async fn an_imported_recipe_can_be_checked_at_once() {
    let directory = directory();
    let recipe = format!(
        "[microsoft-Cloud App Security]\naccept = 127.0.0.1:0\nconnect = {}\ncert = relay.pem\n\
         CAfile = cloud.pem\nTIMEOUTclose = 0\nclient = no\n",
        nobody().await
    );
    std::fs::write(directory.path().join("stunnel.conf"), recipe).unwrap();
    let cloud = Pair::self_signed("cloud.test").certificate;
    std::fs::write(directory.path().join("cloud.pem"), cloud).unwrap();
    let (code, toml, notes) = run(&["import-stunnel", "stunnel.conf"], directory.path()).await;
    assert!(code == 0 && notes.contains("SAFER now"), "{notes}");
    std::fs::write(directory.path().join("relay.toml"), toml).unwrap();
    let (code, said, _) = run(&["check", "--config", "relay.toml"], directory.path()).await;
    assert!(code == 1 && said.contains("[microsoft-Cloud App Security]"), "{said}");
    assert_eq!(said.matches("FAIL").count(), 1, "{said}");
}

/// Each with an exit code and a sentence.
#[tokio::test]
async fn starts_that_cannot_be() {
    let directory = directory();
    let path = directory.path();
    let (one, two) = (Pair::self_signed("a"), Pair::self_signed("b"));
    let twice = format!("{}{}{}{}", one.key, one.certificate, two.key, two.certificate);
    write_private(path, "twice.pem", &twice);
    write_private(path, "mixed.pem", &format!("{}{}", one.key, two.certificate));
    let open = one.write(path, "open.pem");
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let icap = "icap://127.0.0.1:1";
    for (arguments, code, word) in [
        (
            vec!["--identity", "relay.pem", "--upstream", icap, "--listen", &taken],
            1,
            "cannot listen on",
        ),
        (vec!["--mode", "tunnel", "--upstream", icap], 2, "no identity"),
        (vec!["--mode", "tunnel", "--identity", "relay.pem"], 2, "no upstream"),
        (vec!["--mode", "tunnel", "--upstream", "http://a"], 2, "http://a"),
        (vec!["--client-ca", "a", "--pin-client", "b"], 2, "cannot be used with"),
        (vec!["--config", "nowhere.toml"], 2, "nowhere.toml"),
        (vec!["--mode", "tunnel", "--identity", "none.pem", "--upstream", icap], 1, "none.pem"),
        (
            vec!["--mode", "tunnel", "--identity", "twice.pem", "--upstream", icap],
            1,
            "recipe was run twice",
        ),
        (
            vec!["--mode", "tunnel", "--identity", "mixed.pem", "--upstream", icap],
            1,
            "belongs to none",
        ),
        (vec!["--mode", "tunnel", "--identity", "open.pem", "--upstream", icap], 1, "chmod 600"),
        (
            vec![
                "--mode",
                "tunnel",
                "--identity",
                "relay.pem",
                "--upstream",
                icap,
                "--listen",
                &taken,
            ],
            1,
            "cannot listen on",
        ),
    ] {
        let (ended, _, said) = run(&arguments, path).await;
        assert!(ended == code && said.contains(word), "{arguments:?}: {ended} {said}");
    }
}
