//! Bad settings, keys, configurations and network files: a stable code, the key or file and the rule, and a suggestion.

mod common;

use common::cases::{CANARY, COUNT, Case, all_refused, csv, faults, good, set, settings, with_bytes, with_settings};
use common::{Scratch, consilium, in_parallel, run};

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

/// A command of a real network, and what must come of it; `#` in its arguments stands for the folder.
struct Call {
    name: &'static str,
    make: fn(&Scratch),
    arguments: &'static str,
    code: &'static str,
    words: &'static [&'static str],
}

fn init(folder: &Scratch, dir: &str, name: &str, port: u16) {
    good(folder);
    let data = folder.at("A");
    let listen = format!("127.0.0.1:{port}");
    let dir = folder.at(dir);
    let arguments = ["init", "--dir", &dir.to_string_lossy(), "--name", name, "--data", &data.to_string_lossy()];
    let ended = run(consilium(&arguments).args(["--listen", &listen]));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

/// Two sites, enrolled as `network.toml` of each, by two folders `a` and `b`.
fn pair(folder: &Scratch) {
    init(folder, "a", "alpha", 7001);
    init(folder, "b", "beta", 7002);
    let path = |relative: &str| folder.at(relative).to_string_lossy().into_owned();
    let arguments =
        ["enroll", "--out", &path("a/network.toml"), &path("a/alpha.public.toml"), &path("b/beta.public.toml")];
    let ended = run(&mut consilium(&arguments));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

/// Replaces text in a file that must hold it.
fn edit(folder: &Scratch, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(folder.at(file)).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    folder.write(file, text.replacen(from, to, 1));
}

fn calls() -> Vec<Call> {
    const ENROLL: &str = "enroll --out #/network.toml #/a/alpha.public.toml #/b/beta.public.toml";
    const NODE: &str = "node --config #/a/node.toml";
    let call = |name, make, arguments, code, words| Call { name, make, arguments, code, words };
    vec![
        call(
            "init over a key",
            |f| init(f, "a", "alpha", 7001),
            "init --dir #/a --name alpha --data #/A --listen 127.0.0.1:7001",
            "WOULD_OVERWRITE",
            &["private.key", "another folder"],
        ),
        call(
            "init with a bad name",
            good,
            "init --dir #/a --name al/pha --data #/A --listen 127.0.0.1:7001",
            "BAD_CONFIG",
            &["letters"],
        ),
        call(
            "init without data",
            good,
            "init --dir #/a --name alpha --data #/Z --listen 127.0.0.1:7001",
            "FOLDER_MISSING",
            &["Z"],
        ),
        call(
            "init with bad data",
            |f| with_bytes(f, "a,a\n1,2\n"),
            "init --dir #/a --name alpha --data #/B --listen 127.0.0.1:7001",
            "DUPLICATE_COLUMN",
            &["t.csv"],
        ),
        call(
            "init with doubtful data",
            |f| with_bytes(f, "n\n1\n2\n\"7,731\"\n"),
            "init --dir #/a --name alpha --data #/B --listen 127.0.0.1:7001",
            "THOUSANDS_SEPARATOR",
            &["t.csv", "line 4", "column n"],
        ),
        call(
            "enroll one site twice",
            |f| {
                init(f, "a", "alpha", 7001);
                init(f, "b", "Alpha", 7002);
                std::fs::rename(f.at("b/Alpha.public.toml"), f.at("b/beta.public.toml")).unwrap()
            },
            ENROLL,
            "DUPLICATE_SITE",
            &["lpha"],
        ),
        call(
            "enroll one key twice",
            |f| {
                init(f, "a", "alpha", 7001);
                let text = std::fs::read_to_string(f.at("a/alpha.public.toml")).unwrap();
                f.write("b/beta.public.toml", text.replace("alpha", "beta").replace("7001", "7002"));
            },
            ENROLL,
            "DUPLICATE_KEY",
            &["beta"],
        ),
        call(
            "enroll one address twice",
            |f| {
                init(f, "a", "alpha", 7001);
                init(f, "b", "beta", 7001);
            },
            ENROLL,
            "DUPLICATE_ADDRESS",
            &["alpha", "beta", "127.0.0.1:7001"],
        ),
        call(
            "enroll one site only",
            |f| init(f, "a", "alpha", 7001),
            "enroll --out #/network.toml #/a/alpha.public.toml",
            "BAD_NUMBER_OF_SITES",
            &["1 site", "2 to 20"],
        ),
        call(
            "enroll a file that is not there",
            |f| init(f, "a", "alpha", 7001),
            ENROLL,
            "NO_SUCH_FILE",
            &["beta.public.toml"],
        ),
        call(
            "enroll a file with an unknown key",
            |f| {
                pair(f);
                edit(f, "b/beta.public.toml", "address", "adress");
            },
            ENROLL,
            "BAD_PUBLIC_FILE",
            &["beta.public.toml", "line", "adress", "address"],
        ),
        call(
            "enroll with differing schemas",
            |f| {
                init(f, "a", "alpha", 7001);
                init(f, "b", "beta", 7002);
                edit(f, "b/beta.public.toml", "\"int\"", "\"text\"");
            },
            ENROLL,
            "SCHEMA_DIFFERS",
            &["alpha: int, beta: text"],
        ),
        call(
            "enroll with an unknown setting",
            |f| {
                pair(f);
                f.write("settings.toml", "min_patient = 3\n");
            },
            "enroll --out #/n.toml --settings #/settings.toml #/a/alpha.public.toml #/b/beta.public.toml",
            "BAD_SETTINGS",
            &["did you mean 'min_patients'"],
        ),
        call("no configuration", good, NODE, "NO_SUCH_FILE", &["node.toml"]),
        call(
            "unknown key in the configuration",
            |f| {
                pair(f);
                edit(f, "a/node.toml", "listen", "lisen");
            },
            NODE,
            "BAD_CONFIG",
            &["node.toml", "line", "lisen", "listen"],
        ),
        call("not enrolled yet", |f| init(f, "a", "alpha", 7001), NODE, "NO_SUCH_FILE", &["network.toml"]),
        call(
            "unknown key in the network file",
            |f| {
                pair(f);
                edit(f, "a/network.toml", "address", "adress");
            },
            NODE,
            "BAD_NETWORK_FILE",
            &["network.toml", "line", "adress", "address"],
        ),
        call(
            "unknown setting in the network file",
            |f| {
                pair(f);
                edit(f, "a/network.toml", "min_sites", "min_site");
            },
            NODE,
            "BAD_NETWORK_FILE",
            &["network.toml", "min_site", "min_sites"],
        ),
        call(
            "network file of another version",
            |f| {
                pair(f);
                edit(f, "a/network.toml", "version = 1", "version = 9");
            },
            NODE,
            "BAD_NETWORK_FILE",
            &["version 9"],
        ),
        call(
            "site that is not in the network",
            |f| {
                pair(f);
                edit(f, "a/node.toml", "alpha", "gamma");
            },
            NODE,
            "NOT_IN_NETWORK",
            &["gamma"],
        ),
        call(
            "broken key",
            |f| {
                pair(f);
                std::fs::write(f.at("a/private.key"), b"Quaxolotl7731").unwrap();
            },
            NODE,
            "BAD_KEY_FILE",
            &["private.key"],
        ),
        call(
            "data that changed its columns",
            |f| {
                pair(f);
                f.write("A/t.csv", "person_id,n\n1,2\n");
            },
            NODE,
            "COLUMN_MISSING",
            &["t.csv", "no column"],
        ),
        call(
            "data that changed its types",
            |f| {
                pair(f);
                f.write("A/t.csv", csv(&["1,Zanzibar,,1,F"]));
            },
            NODE,
            "NOT_AN_INTEGER",
            &["t.csv", "line 2", "column n"],
        ),
        call("a check of all this", pair, "check --config #/b/node.toml", "CHECK_FAILED", &[]),
        call(
            "a drill of no moment",
            good,
            "sandbox --data # --drill A:never -e SELECT\tCOUNT(*)\tFROM\tt",
            "BAD_DRILL",
            &["propose"],
        ),
        call(
            "a drill of no site",
            good,
            "sandbox --data # --drill never -e SELECT\tCOUNT(*)\tFROM\tt",
            "BAD_DRILL",
            &["SITE:WHEN"],
        ),
        call(
            "a drill of a site that is not there",
            good,
            "sandbox --data # --drill Z:start -e SELECT\tCOUNT(*)\tFROM\tt",
            "BAD_DRILL",
            &["Z"],
        ),
    ]
}

fn try_call(call: &Call) -> Option<String> {
    let folder = Scratch::new("call");
    (call.make)(&folder);
    let root = folder.path().to_string_lossy();
    let arguments: Vec<String> = call.arguments.split(' ').map(|word| word.replace('#', &root)).collect();
    let mut ended = run(&mut consilium(&arguments));
    if call.code == "CHECK_FAILED" {
        // A check prints what it looked at.
        ended.stdout.clear();
    }
    faults(call.name, &ended, call.code, call.words, &[CANARY, "Zanzibar", "7,731"])
}

#[test]
fn a_command_that_cannot_work_says_which_file_and_why() {
    let wrong: Vec<String> = in_parallel(&calls(), 2, try_call).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} calls:\n{}", wrong.len(), wrong.concat());
}
