//! How bytes are cut must not matter: a server, a client or a chunk decoder, as the first byte says, makes the same
//! events of them under any cuts.
#![no_main]

use icap_fuzz::dialogue::{Ask, Chunks, Client, Server, same_under_cuts};
use icap_fuzz::settings;
use icap_proto::Limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let leniency = settings::modes()[usize::from(choice) % 3];
    let choice = choice / 3;
    let limits = if choice % 2 == 0 { Limits::default() } else { settings::tight() };
    let choice = choice / 2;
    match choice % 3 {
        0 => same_under_cuts(bytes, &limits, || {
            Server::new(choice / 3 % Server::PLANS, limits, leniency)
        }),
        1 => {
            let ask = Ask::new(choice / 3);
            same_under_cuts(bytes, &limits, || Client::new(ask.clone(), limits, leniency))
        }
        _ => same_under_cuts(bytes, &limits, || Chunks::new(limits, leniency)),
    };
});
