//! The switches of [`Leniency`] by name.

use icap_proto::Leniency;

/// Sets a switch.
pub(crate) type Set = fn(&mut Leniency, bool);

macro_rules! switches {
    ($($name:ident)*) => {
        /// Every switch; `leniency.rs` compares the list with what [`Leniency`] has.
        pub(crate) const SWITCHES: &[(&str, Set)] =
            &[$((stringify!($name), |leniency, on| leniency.$name = on),)*];
    };
}

switches! {
    spaces_in_start_line
    missing_reason
    entity_case
    options_without_encapsulated
    missing_istag
    loose_istag
    missing_host
    malformed_host
    repeated_fields
    http_framing_fields
    folded_values
    leading_empty_line
    unannounced_trailer
    untimely_continue
    created_as_ok
    stray_ieof
    ieof_with_value
    unsolicited_no_content
    bare_lf_in_head
    blank_line_framing
    unordered_entities
    unterminated_sections
    unindented_violations
    empty_section_as_no_content
}

pub(crate) fn setter(name: &str) -> Set {
    SWITCHES.iter().find(|(switch, _)| *switch == name).expect("a switch").1
}

/// `base` with these switches on.
pub(crate) fn on(mut base: Leniency, names: &[&str]) -> Leniency {
    for name in names {
        setter(name)(&mut base, true);
    }
    base
}

/// `base` with this switch off.
pub(crate) fn off(mut base: Leniency, name: &str) -> Leniency {
    setter(name)(&mut base, false);
    base
}

/// Every switch on.
pub(crate) fn all_on() -> Leniency {
    let names: Vec<&str> = SWITCHES.iter().map(|(name, _)| *name).collect();
    on(Leniency::strict(), &names)
}

/// The names of the switches and whether each is on, as `Debug` tells them.
pub(crate) fn debugged(leniency: &Leniency) -> Vec<(String, bool)> {
    let text = format!("{leniency:?}");
    let fields = text.trim_start_matches("Leniency {").trim_end_matches('}');
    let pairs = fields.split(',').map(|pair| pair.trim().split_once(": ").unwrap());
    pairs.map(|(name, on)| (name.to_owned(), on == "true")).collect()
}
