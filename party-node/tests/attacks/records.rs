//! Attacks on what sites keep and sign: replayed approvals, changed logs, ledgers put back.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use mpc_core::identity::{Identity, Pin, PublicKey};
use party_node::agree::{Signed, Start, Word};
use party_node::fault::NodeError;
use party_node::govern::approval::{Approval, Asked, By, Terms, agree};
use party_node::govern::meeting::{self, Earlier, Extent, Kept, Past, Unmet};
use party_node::network::{NETWORK_VERSION, Network, Reach, SiteEntry};
use party_node::state::audit::{self, Head};
use query_planner::Settings;
use query_planner::catalog::SiteName;
use query_planner::merge::SiteSchema;

use crate::common::Scratch;
use crate::world::{World, copy};

const RUN: [u8; 16] = [7; 16];

fn asked(plan: u8, analyst: Pin) -> Asked {
    Asked { plan: [plan; 32], study: [2; 32], network: [3; 32], analyst }
}

fn word(identity: &Identity, asked: &Asked) -> Word {
    let Asked { plan, study, network, analyst } = *asked;
    let terms = Terms { plan, study, network, policy: [4; 32], analyst, by: By::Rule(1), from_ms: 0, until_ms: 100 };
    Word {
        run: RUN,
        nonce: [5; 32],
        key: identity.public_key().0,
        agreement: agree(identity, &network, &study),
        approval: Approval::sign(terms, identity),
        past: Vec::new(),
        head: Head::EMPTY,
        seen: vec![Head::EMPTY; 2],
    }
}

#[test]
fn only_a_release_that_all_sites_keep_in_the_same_way_is_compared() {
    let (identities, asked) =
        ([(); 2].map(|()| Identity::generate().unwrap()), asked(1, Identity::generate().unwrap().pin()));
    let kept = |digest: Option<u8>, sets| digest.map(|d| Kept { sets, figures: [d; 32], busy_ms: 5, everyone: false });
    let past = |whole: Option<u8>, all: Option<u8>, released| Past {
        id: [1; 16],
        plan: [8; 32],
        whole: kept(whole, 1),
        all: kept(all, 3),
        unhidden: false,
        same_data: true,
        released,
    };
    let met = |a: Option<Past>, b: Option<Past>| {
        let words = identities.iter().zip([a, b]).map(|(identity, past)| {
            Signed::new(Word { past: past.into_iter().collect(), ..word(identity, &asked) }, identity)
        });
        let earlier = meeting::earlier(&words.collect::<Vec<_>>(), &[9; 32]);
        let brief = |all: Vec<Earlier>| all.iter().map(|past| (past.of, past.sets, past.busy_ms)).collect::<Vec<_>>();
        let refused = |unmet| NodeError::from(unmet).code.into_owned();
        earlier.map(brief).map_err(refused)
    };
    let all = Some(past(None, Some(1), true));
    assert_eq!(met(all, all), Ok(vec![(Extent::All, 3, 5)]));
    // It broke off before any figure was opened: not every site came to keep its sets.
    for gone in [None, Some(past(None, None, false))] {
        assert_eq!(met(Some(past(None, Some(1), false)), gone), Ok(vec![]));
        assert_eq!(met(Some(past(Some(1), None, false)), gone), Ok(vec![]), "and before any key was agreed");
    }
    assert_eq!(met(all, Some(past(None, None, false))).unwrap_err(), "LEDGER_ROLLED_BACK");
    assert_eq!(met(all, None).unwrap_err(), "LEDGER_ROLLED_BACK");
    assert_eq!(met(all, Some(past(None, Some(2), true))).unwrap_err(), "LEDGER_DIFFERS");
    // Of the work that sets take one word for all: a greater one would make every later comparison the slower one.
    let mut slow = past(None, Some(1), true);
    slow.all.as_mut().unwrap().busy_ms = u64::MAX;
    assert_eq!(met(all, Some(slow)).unwrap_err(), "LEDGER_DIFFERS");
    // Keys may have come out once all had kept what needs none; all sets stand for these, and they for all where a site fell over.
    let [keys, both] = [past(Some(1), None, false), past(Some(1), Some(2), false)];
    for (a, b, of, sets) in
        [(keys, keys, Extent::Whole, 1), (both, keys, Extent::Whole, 1), (both, both, Extent::All, 3)]
    {
        assert_eq!(met(Some(a), Some(b)), Ok(vec![(of, sets, 5)]));
        assert_eq!(met(Some(b), Some(a)), Ok(vec![(of, sets, 5)]));
    }
    assert_eq!(met(Some(keys), Some(past(Some(2), None, false))).unwrap_err(), "LEDGER_DIFFERS");
    for less in [None, Some(past(None, None, false)), Some(past(None, Some(2), false))] {
        let met = met(Some(past(Some(1), Some(2), true)), less);
        let is_all = less.is_some_and(|past| past.all.is_some());
        assert_eq!(met.is_ok(), is_all, "{met:?}");
        assert!(is_all || met.unwrap_err() == "LEDGER_ROLLED_BACK");
    }
    // All sets are made of the keys, which come out after every site has kept the others.
    assert_eq!(met(Some(both), Some(past(None, None, false))).unwrap_err(), "LEDGER_ROLLED_BACK");
    // Every site says that the same was answered from the same data: by which runs.
    let same = |id| Past { id: [id; 16], plan: [9; 32], ..past(None, Some(1), true) };
    let words = [vec![same(3), same(4)], vec![same(4), Past { same_data: false, ..same(3) }]];
    let words = identities.iter().zip(words).map(|(id, past)| Signed::new(Word { past, ..word(id, &asked) }, id));
    assert_eq!(meeting::earlier(&words.collect::<Vec<_>>(), &[9; 32]), Err(Unmet::Repeated(vec![[4; 16]])));
    // Of figures with noise nothing is kept; of what was answered while nothing was hidden neither, and then nothing can be compared.
    assert_eq!(met(Some(past(None, None, true)), Some(past(None, None, true))), Ok(vec![]));
    for released in [true, false] {
        let shown = Some(Past { unhidden: true, ..past(None, None, released) });
        assert_eq!(met(shown, shown).unwrap_err(), "ANSWERED_UNHIDDEN");
    }
}

#[test]
fn an_approval_of_one_plan_is_none_of_another() {
    let (identities, analyst) = ([(); 2].map(|()| Identity::generate().unwrap()), Identity::generate().unwrap().pin());
    let site = |(name, identity): (&str, &Identity)| SiteEntry {
        name: SiteName(name.into()),
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        pins: vec![identity.pin()],
        schema: SiteSchema::default(),
        reach: Reach::Both,
    };
    let network = Network {
        version: NETWORK_VERSION,
        settings: Settings::default(),
        site: ["A", "B"].into_iter().zip(&identities).map(site).collect(),
        analyst: Vec::new(),
    };
    let (harmless, wanted) = (asked(1, analyst), asked(9, analyst));
    let verify = |words: Vec<Signed>, asked: &Asked| {
        let start = Start { nonce: [6; 32], words };
        meeting::verify(&network, (&RUN, &start), asked, &[Head::EMPTY; 2], 50).map_err(|error| error.code.into_owned())
    };
    let said = |asked: &Asked| identities.iter().map(|id| Signed::new(word(id, asked), id)).collect::<Vec<_>>();
    assert_eq!(verify(said(&harmless), &harmless), Ok(()));
    // All words of the harmless plan; one of them; and the same with the terms rewritten under the old signature.
    let replayed = verify(said(&harmless), &wanted);
    let mixed = verify(vec![said(&wanted).remove(0), said(&harmless).remove(1)], &wanted);
    let mut forged = word(&identities[1], &harmless);
    forged.approval.terms.plan = wanted.plan;
    let forged = verify(vec![said(&wanted).remove(0), Signed::new(forged, &identities[1])], &wanted);
    println!("replayed {replayed:?}, one of two {mixed:?}, rewritten {forged:?}");
    for refused in [replayed, mixed, forged] {
        assert_eq!(refused.unwrap_err(), "NOT_APPROVED");
    }
    // The word of another run, and a word that the analyst changed.
    let mut other = word(&identities[1], &wanted);
    other.run = [8; 16];
    let mut changed = said(&wanted);
    changed[1].word.seen.clear();
    let other = verify(vec![said(&wanted).remove(0), Signed::new(other, &identities[1])], &wanted);
    let changed = verify(changed, &wanted);
    println!("of another run {other:?}, changed {changed:?}");
    assert_eq!((other.unwrap_err(), changed.unwrap_err()), ("PROTOCOL_VIOLATION".into(), "PROTOCOL_VIOLATION".into()));
}

/// The keys that signed a log, as it says itself.
fn pins(log: &[u8]) -> Vec<Pin> {
    let mut pins = Vec::new();
    for line in String::from_utf8_lossy(log).lines() {
        for key in hexes(line).filter_map(|key| <[u8; 32]>::try_from(key).ok()) {
            pins.push(PublicKey(key).pin());
        }
    }
    pins
}

/// Every text of hexadecimal digits in a line.
fn hexes(line: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let digits = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let byte = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    line.split('"').filter(digits).map(move |text| (0..64).step_by(2).map(|at| byte(text, at)).collect())
}

const QUESTION: &str = "SELECT COUNT(*) AS n FROM t WHERE x > 30";
const NEXT: &str = "SELECT COUNT(*) AS n FROM t WHERE x <= 30";

#[test]
fn no_byte_of_the_log_can_be_changed_and_no_line_left_out() {
    let world = World::new("log");
    let state = Scratch::new("log-state");
    assert_eq!(world.ask_again(state.path(), &[QUESTION]).answers().len(), 1);
    let path = state.at("A/audit.log");
    let log = fs::read(&path).unwrap();
    let pins = pins(&log);
    let lines = audit::verify(&path, &pins).unwrap().head.seq;
    let broken = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        audit::verify(&path, &pins).err().map(|error| error.code.into_owned())
    };
    let step = log.len() / 300 + 1;
    let mut edits = 0;
    for at in (0..log.len()).step_by(step) {
        let mut edited = log.clone();
        edited[at] ^= 1 << (at % 8);
        assert_eq!(broken(&edited).as_deref(), Some("AUDIT_BROKEN"), "byte {at}");
        edits += 1;
    }
    let text: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..text.len() - 1 {
        let left_out = [&text[..at], &text[at + 1..]].concat().concat();
        assert_eq!(broken(&left_out).as_deref(), Some("AUDIT_BROKEN"), "without line {at}");
    }
    println!("{} bytes, {lines} lines: {edits} changed bytes and {} missing lines found", log.len(), text.len() - 1);
    // A log cut at its end stands; the ledger remembers more, and the node does not start.
    fs::write(&path, text[..text.len() - 3].concat()).unwrap();
    let cut = world.ask_again(state.path(), &[NEXT]);
    println!("cut by three lines: {}", cut.code());
    assert_eq!(cut.code(), "LEDGER_ROLLED_BACK", "{}", cut.all());
    fs::write(&path, &log).unwrap();
    assert_eq!(world.ask_again(state.path(), &[NEXT]).answers().len(), 1);
}

#[test]
fn a_ledger_that_was_put_back_is_found_by_itself_or_by_the_others() {
    let world = World::new("put-back");
    let state = Scratch::new("put-back-state");
    let (kept, older, newer) = (state.at("kept"), state.at("older"), state.at("newer"));
    assert_eq!(world.ask_again(&kept, &["SELECT COUNT(*) AS n FROM t WHERE x <= 30"]).answers().len(), 1);
    copy(&kept, &older);
    assert_eq!(world.ask_again(&kept, &[QUESTION]).answers().len(), 1);
    copy(&kept, &newer);
    let next = format!("{QUESTION} AND z <> {}", world.target().z);
    let with_old = |files: &[&str]| {
        fs::remove_dir_all(&kept).unwrap();
        copy(&newer, &kept);
        files.iter().for_each(|file| put_back(file, &older, &kept));
        let run = world.ask_again(&kept, &[&next]);
        println!("put back {files:?}: {}", run.code());
        assert!(run.stdout.is_empty(), "{}", run.all());
        run.code()
    };
    assert_eq!(with_old(&[]), "RELEASE_TOO_CLOSE");
    assert_eq!(with_old(&["A/ledger.redb"]), "LEDGER_ROLLED_BACK");
    assert_eq!(with_old(&["A/audit.log"]), "LEDGER_ROLLED_BACK");
    let both = with_old(&["A/ledger.redb", "A/audit.log"]);
    assert!(["LEDGER_ROLLED_BACK", "PEER_ROLLED_BACK"].contains(&both.as_str()), "{both}");
    // A question that no earlier one is near to is refused as well: nothing is answered from an old ledger.
    let far = world.ask_again(&kept, &["SELECT COUNT(*) AS n FROM t WHERE k = 1"]);
    assert!(["LEDGER_ROLLED_BACK", "PEER_ROLLED_BACK"].contains(&far.code().as_str()), "{}", far.all());
    assert_eq!(world.ask_again(&newer, &["SELECT COUNT(*) AS n FROM t WHERE k = 1"]).answers().len(), 1);
}

fn put_back(file: &str, from: &Path, to: &Path) {
    fs::copy(from.join(file), to.join(file)).unwrap();
}
