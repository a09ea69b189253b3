//! A site that dies at any moment is named: by the analyst, by the others, within two deadlines, and by nobody else's name.

mod common;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use common::{Run, Scratch, in_parallel, sandbox};

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];
/// Before the protocol begins.
const MOMENTS: [&str; 4] = ["propose", "ready", "start", "connected"];
/// More frames than any site sends in the queries below; a drill beyond a site's last frame changes nothing.
const FRAMES: usize = 24;
/// How long a step waits at least.
const DEADLINE: Duration = Duration::from_millis(2500);
/// Runs at a time: most of a run is waiting.
const THREADS: usize = 4;

/// How long things may take on this machine, as busy as it is.
#[derive(Clone, Copy)]
struct Patience {
    /// How long a step waits. What a site waits longer than another, so as to hear of it, grows with it.
    deadline: Duration,
    /// Starting four processes and printing.
    start_up: Duration,
}

impl Patience {
    /// Of runs without a death, as many beside each other as there are with one.
    fn measured(folder: &Scratch, sql: &str, answer: &str) -> Self {
        let took = in_parallel(&[(); THREADS], THREADS, |()| {
            let ended = sandbox(folder.path(), &["-e", sql, "--format", "csv"]);
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), answer), "{}", ended.stderr);
            ended.took
        });
        let took = took.into_iter().max().expect("there are threads");
        println!("a run without a death takes {took:?}");
        Self { deadline: DEADLINE.max(3 * took), start_up: 3 * took + Duration::from_secs(1) }
    }
}

/// One planned death.
struct Kill {
    site: &'static str,
    when: String,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.site, self.when)
    }
}

/// What came of it.
struct Outcome {
    survived: bool,
    wrong: Vec<String>,
    /// It took longer than it may, in words.
    late: Option<String>,
    stderr: String,
}

fn kills() -> Vec<Kill> {
    let moments = MOMENTS.iter().map(|moment| (*moment).to_owned());
    let whens: Vec<String> = moments.chain((0..FRAMES).map(|frame| frame.to_string())).collect();
    // The long waits first.
    whens.iter().flat_map(|when| SITES.map(|site| Kill { site, when: when.clone() })).collect()
}

fn try_kill(folder: &Scratch, (sql, answer): (&str, &str), kill: &Kill, patience: Patience) -> Outcome {
    let timeout = format!("step_timeout_ms={}", patience.deadline.as_millis());
    let drill = kill.to_string();
    let ended = sandbox(folder.path(), &["--set", &timeout, "--drill", &drill, "-e", sql, "--format", "csv"]);
    if ended.status == Some(0) {
        let wrong = if ended.stdout == answer { vec![] } else { vec![format!("another answer: {}", ended.stdout)] };
        return Outcome { survived: true, wrong, late: None, stderr: ended.stderr };
    }
    let Patience { deadline, start_up } = patience;
    let late = (ended.took > 2 * deadline + start_up)
        .then(|| format!("it took {:?}, more than two deadlines of {deadline:?} and {start_up:?}", ended.took));
    Outcome { survived: false, wrong: faults(kill, &ended), late, stderr: ended.stderr }
}

/// What a reader of the messages would miss or be misled by.
fn faults(kill: &Kill, ended: &Run) -> Vec<String> {
    let mut wrong = Vec::new();
    let began = kill.when.parse::<usize>().is_ok();
    if ended.code().is_empty() || !ended.stdout.is_empty() {
        wrong.push("the analyst's end is not an error with a code alone".to_owned());
    }
    judge("the analyst", &ended.error(), kill.site, began, &mut wrong);
    for survivor in SITES.iter().filter(|site| **site != kill.site) {
        for line in ended.log_of(survivor) {
            judge(survivor, line, kill.site, began, &mut wrong);
        }
    }
    let known = |line: &str| SITES.iter().any(|site| line.starts_with(&format!("[{site}] ")));
    for line in ended.stderr.lines().filter(|line| line.starts_with('[') && !known(line)) {
        wrong.push(format!("a garbled line: {line}"));
    }
    if began && !SITES.iter().any(|site| ended.log_of(site).iter().any(|line| line.contains(kill.site))) {
        wrong.push("no survivor's log names the dead site".to_owned());
    }
    wrong
}

fn judge(who: &str, text: &str, dead: &str, began: bool, wrong: &mut Vec<String>) {
    let innocent: Vec<&str> = blamed(text).into_iter().filter(|name| *name != dead).collect();
    if !innocent.is_empty() {
        wrong.push(format!("{who} blames {innocent:?}: {text}"));
    } else if text.contains("party ") {
        wrong.push(format!("{who} names a party by its number: {text}"));
    } else if !text.contains(dead) {
        wrong.push(format!("{who} does not name it: {text}"));
    }
    if began && !text.contains(" at /") {
        wrong.push(format!("{who} does not name the step: {text}"));
    }
}

/// The sites that a message holds responsible, and the analyst, by name or by number.
fn blamed(text: &str) -> BTreeSet<&'static str> {
    const AFTER: [&str; 7] = [
        " at /",
        " did not connect",
        ": connection lost",
        ", before the session",
        ", when the session",
        ": silent",
        ": no answer",
    ];
    const PARTIES: [(&str, &str); 4] =
        [("party 0", SITES[0]), ("party 1", SITES[1]), ("party 2", SITES[2]), ("party 3", "the analyst")];
    let names =
        PARTIES.into_iter().chain(SITES.iter().map(|site| (*site, *site))).chain([("the analyst", "the analyst")]);
    let held = |name: &str| AFTER.iter().any(|after| text.contains(&format!("{name}{after}")));
    names.filter(|(name, _)| held(name) || text.contains(&format!("ask {name}"))).map(|(_, who)| who).collect()
}

/// Rows of which `answer` is the answer.
fn hospitals(folder: &Scratch) {
    for (site, sexes) in SITES.iter().zip([["F", "M", "F"], ["M", "M", "F"], ["F", "F", "F"]]) {
        let rows = sexes.iter().enumerate().map(|(i, sex)| format!("{i},{sex}\n"));
        folder.write(&format!("{site}/visit.csv"), format!("person_id,sex\n{}", rows.collect::<String>()));
    }
}

/// Kills every site at every moment of a query; the number of kills, or everything that was wrong.
fn kill_everywhere(sql: &str, answer: &str) -> usize {
    let folder = Scratch::new("kills");
    hospitals(&folder);
    let (kills, patience) = (kills(), Patience::measured(&folder, sql, answer));
    let mut outcomes = in_parallel(&kills, THREADS, |kill| try_kill(&folder, (sql, answer), kill, patience));
    for (kill, outcome) in kills.iter().zip(&mut outcomes).filter(|(_, outcome)| outcome.late.is_some()) {
        println!("{kill}: {}; once more, alone", outcome.late.take().unwrap_or_default());
        // What is late on a machine that was busy for a moment is in time by itself.
        let again = try_kill(&folder, (sql, answer), kill, patience);
        outcome.wrong.extend(again.wrong.into_iter().chain(again.late));
    }
    let mut report = String::new();
    for (kill, outcome) in kills.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.wrong.is_empty()) {
        report += &format!("{kill}:\n  {}\n", outcome.wrong.join("\n  "));
        println!("{kill}:\n{}", outcome.stderr);
    }
    for site in SITES {
        let of_site = || kills.iter().zip(&outcomes).filter(|(kill, _)| kill.site == site);
        let died: Vec<usize> =
            of_site().filter(|(_, o)| !o.survived).filter_map(|(k, _)| k.when.parse().ok()).collect();
        // A frame that is sent at all is sent again in the next run, so the deadly drills are the first ones.
        if died != (0..died.len()).collect::<Vec<_>>() || died.is_empty() || died.len() == FRAMES {
            report += &format!("{site}: died at the frames {died:?}\n");
        }
        report.extend(
            of_site()
                .filter(|(k, o)| o.survived && k.when.parse::<usize>().is_err())
                .map(|(k, _)| format!("{k}: nobody noticed\n")),
        );
    }
    let died = outcomes.iter().filter(|outcome| !outcome.survived).count();
    assert!(report.is_empty(), "{sql}: of {died} kills\n{report}");
    println!("{sql}: {died} kills, each named");
    died
}

#[test]
fn a_site_killed_at_any_moment_of_a_count_is_named_by_the_others() {
    let died = kill_everywhere("SELECT COUNT(*) AS n FROM visit", "n\r\n9\r\n");
    assert!(died >= 3 * 5, "{died} kills");
}

#[test]
fn a_site_killed_at_any_moment_of_a_query_with_agreed_keys_is_named_by_the_others() {
    let died =
        kill_everywhere("SELECT sex, COUNT(*) AS n FROM visit GROUP BY sex ORDER BY sex", "sex,n\r\nF,6\r\nM,3\r\n");
    assert!(died >= 3 * 9, "{died} kills");
}
