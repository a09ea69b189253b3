//! Bad settings, keys, configurations and network files: a stable code, the key or file and the rule, and a suggestion.

mod common;

use common::cases::{COUNT, Case, all_refused, csv, good, set, settings, with_settings};
use common::Scratch;

fn config_cases() -> Vec<Case> {
    vec![
        settings(
            "one site",
            |f| drop(f.write("A/t.csv", csv(&[]))),
            COUNT,
            "BAD_NUMBER_OF_SITES",
            &["1 site", "2 to 20"],
        ),
        settings(
            "21 sites",
            |f| (0..21).for_each(|i| drop(f.write(&format!("s{i}/t.csv"), csv(&[])))),
            COUNT,
            "BAD_NUMBER_OF_SITES",
            &["21 sites", "20"],
        ),
        settings(
            "bad site name",
            |f| {
                good(f);
                f.write("St Mary/t.csv", csv(&[]));
            },
            COUNT,
            "BAD_SITE_NAME",
            &["St Mary", "letters"],
        ),
        settings(
            "site named network",
            |f| {
                good(f);
                f.write("network/t.csv", csv(&[]));
            },
            COUNT,
            "BAD_SITE_NAME",
            &["network"],
        ),
        settings(
            "unknown setting",
            |f| with_settings(f, "min_patient = 11\n"),
            COUNT,
            "BAD_SETTINGS",
            &["min_patient", "did you mean 'min_patients'"],
        ),
        settings(
            "unknown setting of a column",
            |f| with_settings(f, "[tables.t.columns.n]\nrnage = [1, 2]\n"),
            COUNT,
            "BAD_SETTINGS",
            &["did you mean 'tables.t.columns.n.range'"],
        ),
        settings(
            "setting of a table that is not there",
            |f| with_settings(f, "[tables.tt]\nmax_rows = 5\n"),
            COUNT,
            "BAD_SETTINGS",
            &["tt", "did you mean 't'"],
        ),
        settings(
            "broken TOML",
            |f| with_settings(f, "min_sites = \n"),
            COUNT,
            "BAD_SETTINGS",
            &["network.toml", "line 1"],
        ),
        settings(
            "patient key that is not there",
            |f| with_settings(f, "patient_key = \"person_idd\"\n"),
            COUNT,
            "BAD_SETTINGS",
            &["did you mean 'person_id'"],
        ),
        settings(
            "domain of another type",
            |f| with_settings(f, "[tables.t.columns.n]\ndomain = [\"x\"]\n"),
            COUNT,
            "BAD_SETTINGS",
            &["t.n.domain", "int"],
        ),
        set("unknown key", &["min_site=2"], "BAD_SETTINGS", &["did you mean 'min_sites'"]),
        set("no value", &["min_sites"], "BAD_SETTINGS", &["key=value"]),
        set("value of another type", &["min_sites=many"], "BAD_SETTINGS", &["min_sites"]),
        set("no site at all", &["min_sites=0"], "BAD_SETTINGS", &["min_sites", "at least 2"]),
        set("no time", &["step_timeout_ms=0"], "BAD_SETTINGS", &["step_timeout_ms", "10"]),
    ]
}

#[test]
fn a_bad_configuration_names_the_key_or_the_site() {
    all_refused(&config_cases());
}

