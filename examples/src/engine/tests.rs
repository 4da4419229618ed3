#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use super::*;

/// A generator of pseudo-random numbers (xorshift64*), so that failures can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Scans `chunks` one after the other.
fn scan<'a>(engine: &Engine, chunks: impl IntoIterator<Item = &'a [u8]>) -> Option<Finding> {
    let mut scan = engine.scan();
    for chunk in chunks {
        scan.update(chunk);
    }
    scan.finish()
}

/// Scans `body` in chunks of random sizes, empty ones included.
fn scan_split(engine: &Engine, mut body: &[u8], random: &mut Random) -> Option<Finding> {
    let mut scan = engine.scan();
    let most = 1 + random.below(200);
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(random.below(most + 1).min(body.len()));
        scan.update(chunk);
        body = rest;
    }
    scan.finish()
}

#[test]
fn findings_name_rule_and_place() {
    let engine = Engine::new();
    let found = |body: &[u8]| engine.scan_all(body).unwrap().to_string();
    assert_eq!(
        found(&eicar()),
        "Eicar-Test-Signature (malware): EICAR test string, ending at byte 68"
    );
    assert_eq!(
        found(b"TOP-SECRET//NOFORN"),
        "Dlp-Keyword (dlp): keyword \"TOP-SECRET//NOFORN\", ending at byte 18"
    );
    assert_eq!(
        found(b"4111111111111111,5555-5555-5555-4444,3714 496353 98431,x"),
        "Dlp-Payment-Card-Numbers (dlp): 3 different payment card numbers, \
         the last ending at byte 54"
    );
}

#[test]
fn a_near_miss_of_the_test_string_is_clean() {
    let (engine, eicar) = (Engine::new(), eicar());
    assert_eq!(eicar.len(), 68);
    assert_eq!(engine.scan_all(&eicar[..67]), None);
    assert_eq!(engine.scan_all(&eicar[1..]), None);
    assert_eq!(engine.scan_all(&eicar.to_ascii_lowercase()), None);
    for at in 0..eicar.len() {
        let mut changed = eicar.clone();
        changed[at] ^= 1;
        assert_eq!(engine.scan_all(&changed), None, "changed at {at}");
    }
}

#[test]
fn it_takes_different_card_numbers() {
    let engine = Engine::new();
    let body = "4111111111111111\n5555555555554444\n4111 1111 1111 1111\n".repeat(100);
    assert_eq!(engine.scan_all(body.as_bytes()), None);
    // The third number may be far away, and the last thing in the body.
    let body = format!("{body}{}378282246310005", "filler ".repeat(10_000));
    let finding = engine.scan_all(body.as_bytes()).unwrap();
    assert_eq!((&*finding.name, finding.category), (CARD_RULE, Category::Dlp));
}

/// As many accounts as make a finding, in both ways of writing, and as many social security numbers.
const IBANS: &str =
    "DE89 3704 0044 0532 0130 00, GB29NWBK60161331926819; MT84MALT011000012345MTLCAST001S.";
const SSNS: &str = "536-90-4399\n001-01-0001\n665-01-0001\n";

#[test]
fn it_takes_different_numbers_of_one_kind() {
    let engine = Engine::new();
    assert_eq!(engine.scan_all(IBANS.as_bytes()).unwrap().name, IBAN_RULE);
    assert_eq!(engine.scan_all(SSNS.as_bytes()).unwrap().name, SSN_RULE);
    // Two of each make none.
    let two = "DE89370400440532013000 GB29NWBK60161331926819 536-90-4399 001-01-0001 \
               4111111111111111 5555555555554444 ";
    assert_eq!(engine.scan_all(two.repeat(3).as_bytes()), None);
}

#[test]
fn the_first_kind_that_is_complete_is_found_however_a_body_is_split() {
    let engine = Engine::new();
    let mut random = Random(7);
    let cards = "4111111111111111 5555555555554444 378282246310005 ";
    for parts in [[IBANS, SSNS, cards], [SSNS, cards, IBANS], [cards, IBANS, SSNS]] {
        let body = parts
            .join(" and ")
            .replace(' ', "  ")
            .replace("  3704  0044  0532  0130  00", " 3704 0044 0532 0130 00");
        let whole = engine.scan_all(body.as_bytes());
        assert!(whole.is_some());
        let bytes = body.as_bytes().chunks(1);
        assert_eq!(scan(&engine, bytes), whole);
        for _ in 0..200 {
            assert_eq!(scan_split(&engine, body.as_bytes(), &mut random), whole);
        }
    }
}

#[test]
fn rules_can_be_changed() {
    let body = b"4111111111111111 and Project Tempest";
    assert_eq!(Engine::new().scan_all(body), None);

    let engine = Engine::builder().threshold(1).build();
    assert_eq!(engine.scan_all(body).unwrap().name, CARD_RULE);

    let engine = Engine::builder().keywords(["", "Tempest"]).build();
    assert_eq!(engine.scan_all(body).unwrap().name, KEYWORD_RULE);
    assert_eq!(engine.scan_all(DEFAULT_KEYWORD.as_bytes()), None);

    let engine = Engine::builder().keywords([""; 0]).threshold(0).build();
    let numbers = "4111111111111111 5555555555554444 378282246310005";
    assert_eq!(engine.scan_all(numbers.as_bytes()), None);
    assert_eq!(engine.scan_all(&eicar()).unwrap().name, EICAR_RULE);
}

#[test]
fn a_keyword_cannot_break_the_log_line() {
    let engine = Engine::builder().keywords(["a\nb\u{1b}[2J"]).build();
    let finding = engine.scan_all(b"a\nb\x1b[2J").unwrap();
    assert!(!finding.to_string().contains(char::is_control), "{finding}");
}

#[test]
fn the_finding_shows_as_soon_as_it_is_certain_and_stays() {
    let engine = Engine::new();
    let mut scan = engine.scan();
    let (first, last) = (&eicar()[..67], &eicar()[67..]);
    scan.update(first);
    assert_eq!(scan.finding(), None);
    scan.update(last);
    assert_eq!(scan.finding().unwrap().name, EICAR_RULE);
    scan.update(DEFAULT_KEYWORD.as_bytes());
    assert_eq!(scan.finish().unwrap().name, EICAR_RULE);
}

#[test]
fn neither_findings_nor_debug_output_show_content() {
    let body = "4111111111111111 5555555555554444 378282246310005 ";
    let mut scan = Engine::new().scan();
    scan.update(body.as_bytes());
    let shown = format!("{scan:?} {}", scan.finding().unwrap());
    for digits in ["1111", "4444", "0005"] {
        assert!(!shown.contains(digits), "{shown}");
    }
    let engine = format!("{:?}", Engine::new());
    assert_eq!(Engine::new().scan_all(engine.as_bytes()), None);
}

#[test]
fn every_split_in_two_gives_the_same_finding() {
    let engine = Engine::new();
    for sample in crate::samples::all() {
        let body = &sample.bytes[..];
        let whole = engine.scan_all(body);
        // Every position but for the archive, where that would take hours.
        let step = if body.len() > 10_000 { 9973 } else { 1 };
        for at in (0..=body.len()).step_by(step) {
            let (head, tail) = body.split_at(at);
            assert_eq!(scan(&engine, [head, tail]), whole, "{} at {at}", sample.name);
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same_finding() {
    let engine = Engine::new();
    for sample in crate::samples::all() {
        let body = &sample.bytes[..sample.bytes.len().min(20_000)];
        assert_eq!(scan(&engine, body.chunks(1)), engine.scan_all(body), "{}", sample.name);
    }
}

#[test]
fn random_splits_of_random_bodies_give_the_same_finding() {
    let patterns: [&[u8]; 9] = [
        &eicar(),
        &eicar()[..60],
        DEFAULT_KEYWORD.as_bytes(),
        b"4111 1111 1111 1111",
        b"5555-5555-5555-4444",
        b"378282246310005",
        b"4000 0000 0000 0000 006",
        b"4222222222222",
        b"4929003177451208",
    ];
    let alphabets: [&[u8]; 4] = [b"0123456789", b"0123456789 -", b"4 111-", b"abc 12.,\n\xff"];
    // Keywords that overlap numbers and each other, to test which of two findings comes first.
    let engines = [
        Engine::new(),
        Engine::builder().threshold(1).keywords(["1111", "TOP-", "1 5"]).build(),
        Engine::builder().threshold(2).keywords(["4111 1111 1111 1111 ", "4"]).build(),
        Engine::builder().threshold(20).keywords([DEFAULT_KEYWORD, "SECRET"]).build(),
    ];
    let mut random = Random(0x1CA9);
    let mut found = 0;
    for round in 0..4000 {
        let alphabet = alphabets[random.below(alphabets.len())];
        let mut body = Vec::new();
        for _ in 0..random.below(30) {
            for _ in 0..random.below(40) {
                body.push(alphabet[random.below(alphabet.len())]);
            }
            body.extend_from_slice(patterns[random.below(patterns.len())]);
        }
        for engine in &engines {
            let whole = engine.scan_all(&body);
            found += usize::from(whole.is_some());
            for _ in 0..3 {
                let split = scan_split(engine, &body, &mut random);
                assert_eq!(split, whole, "round {round}: {}", body.escape_ascii());
            }
        }
    }
    // Neither outcome may be so rare that the comparison means nothing.
    assert!((2000..15_000).contains(&found), "{found}");
}

#[test]
fn scans_can_move_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Engine>();
    check::<Scan>();
}

#[test]
fn memory_stays_constant() {
    let engine = Engine::new();
    let mut scan = engine.scan();
    let capacity = scan.tail.capacity();
    let chunk = vec![b'x'; 1 << 16];
    for size in [1, 7, 67, 68, 200, 1 << 16].into_iter().cycle().take(500) {
        scan.update(&chunk[..size]);
        assert!(scan.tail.len() <= engine.rules.carry);
        assert_eq!(scan.tail.capacity(), capacity);
    }
}
