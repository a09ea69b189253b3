//! The differencing check in a whole session.

mod conformance;
mod deviation;

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::Case;
use deviation::{MALFORMED, is_blamed};
use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::random::PublicSeed;
use mpc_core::transport::memory::Link as Delay;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Bits, Block, Error, PartyId, Result, Session};
use protocols::additive::Additive;
use protocols::additive::demand::Link;
use protocols::cost::{self, SiteCost};
use protocols::matching::{PatientTable, align};
use protocols::ot::Extension;
use protocols::relational::differencing::{Check, Form, Ledgered, Method, SetTable, clear, too_close};
use protocols::{Item, Statement};

const SEED: u64 = 20_261_122;

/// A site's patients, each with the sets it says they are in.
type Patients = BTreeMap<u64, Vec<bool>>;

fn key(patient: u64, pass: usize) -> Block {
    Block(u128::from(patient + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).rotate_left(pass as u32))
}

fn table(patients: &Patients, shape: &Ledgered) -> PatientTable {
    // A patient is found in one of the passes where it is not known in all.
    let known = |patient: u64, pass: usize| (patient % 3 != 1 || pass == 0).then(|| key(patient, pass));
    let keys = (0..shape.passes).map(|pass| patients.keys().map(|patient| known(*patient, pass)).collect()).collect();
    let mut bits = Bits::zeros(patients.len(), shape.sets);
    for (row, sets) in patients.values().enumerate() {
        sets.iter().enumerate().for_each(|(set, bit)| bits.set(row, set, *bit));
    }
    PatientTable { keys, further: Vec::new(), numbers: Vec::new(), bits }
}

fn entered(patients: &Patients, shape: &Ledgered) -> SetTable {
    let mut table = table(patients, shape);
    SetTable::new(std::mem::take(&mut table.keys), std::mem::take(&mut table.bits))
}

/// How many patients of all sites together each pair differs by, without any matching.
fn counted(sites: &[Patients], shape: &Ledgered) -> Vec<u64> {
    let mut joint: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
    for (patient, sets) in sites.iter().flatten() {
        let all = joint.entry(*patient).or_insert_with(|| vec![false; shape.sets]);
        all.iter_mut().zip(sets).for_each(|(all, own)| *all |= own);
    }
    let differ = |(new, old): &(usize, usize)| joint.values().filter(|sets| sets[*new] != sets[*old]).count() as u64;
    shape.pairs.iter().map(differ).collect()
}

fn release() -> Statement {
    Statement::new(vec![Item::to_everyone("close")])
}

/// What every party gets.
fn answers(world: &World, analyst: bool, sites: &[Patients], shape: &Ledgered, link: Link) -> Vec<bool> {
    let shape = shape.clone();
    let mut own: Vec<Option<Patients>> = sites.iter().cloned().map(Some).collect();
    own.extend(analyst.then_some(None));
    let program = move |session: Session, own: Option<Patients>| {
        let shape = shape.clone();
        async move {
            let mut engine = Additive::new(session, release());
            let own = own.map(|own| entered(&own, &shape));
            let close = too_close(&mut engine, &shape, None, own, ("close", link)).await;
            (engine.into_session(), close)
        }
    };
    world.run(program, own).into_iter().map(|outcome| outcome.result.expect("all are honest")).collect()
}

const FORMS: [Form; 2] = [Form::Once, Form::Telescoped];

/// The new sets are the first ones, all compared with all others.
fn pairs(new: usize, sets: usize) -> Vec<(usize, usize)> {
    (0..new).flat_map(|new_set| (new..sets).map(move |old| (new_set, old))).collect()
}

/// Up to so many of twice as many patients at each site, in a set with the probability of one in `rare`, each set a copy of the first but for
/// that.
fn random(case: &mut Case, shape: &Ledgered, rare: u64) -> Vec<Patients> {
    let patient = |case: &mut Case| {
        let first = case.below(2) == 0;
        (0..shape.sets).map(|_| first ^ (case.below(rare) == 0)).collect()
    };
    let site = |case: &mut Case| {
        let count = case.below(shape.patients as u64 + 1);
        (0..count).map(|_| (case.below(2 * shape.patients as u64), patient(case))).collect()
    };
    (0..case.sites).map(|_| site(case)).collect()
}

#[test]
fn every_party_learns_whether_any_pair_of_joint_sets_is_too_close() {
    let mut close = [0, 0];
    for (sites, analyst, passes, net, link, form) in [
        (2, false, 1, Net::Memory, Link::Local, Form::Once),
        (2, true, 2, Net::Quic, Link::Local, Form::Once),
        (3, true, 1, Net::Memory, Link::Far, Form::Once),
        (3, false, 2, Net::Memory, Link::Local, Form::Once),
        (5, false, 1, Net::Memory, Link::Local, Form::Once),
        (2, true, 1, Net::Quic, Link::Local, Form::Telescoped),
        (3, true, 1, Net::Memory, Link::Far, Form::Telescoped),
        (3, false, 1, Net::Memory, Link::Narrow, Form::Telescoped),
        (5, false, 1, Net::Memory, Link::Local, Form::Telescoped),
    ] {
        for (seed, rare) in [(SEED, 4), (SEED + 1, 9), (SEED + 2, 15), (SEED + 3, 30)] {
            println!("seed {seed}, {sites} sites, analyst {analyst}, {passes} passes, {net:?}, {link:?}, {form:?}");
            let shape =
                Ledgered { patients: 60, passes, sets: 5, pairs: pairs(2, 5), least: 11, form, ..Ledgered::default() };
            let tables = random(&mut Case::at(0, sites, seed), &shape, rare);
            let want = counted(&tables, &shape).iter().any(|patients| *patients < shape.least);
            close[usize::from(want)] += 1;
            let world = World::new(sites).seed(seed).over(net);
            let world = if analyst { world.with_analyst() } else { world };
            let got = answers(&world, analyst, &tables, &shape, link);
            assert_eq!(got, vec![want; sites + usize::from(analyst)]);
        }
    }
    println!("{close:?} were far and close");
    assert!(close.iter().all(|times| *times > 2), "{close:?}");
}

/// All sites have patients 0 to 39, the first and the last say nothing of every other one; the sets differ by the first `apart`.
fn apart(sites: usize, apart: u64) -> Vec<Patients> {
    let sets = |site: usize, patient: u64| match patient < apart {
        // In the new set by one site's word, which is not the same for all.
        true => vec![patient as usize % sites == site, false],
        // In both, by different sites' words.
        false => vec![site == 0, site + 1 == sites],
    };
    (0..sites).map(|site| (0..40).map(|patient| (patient, sets(site, patient))).collect()).collect()
}

#[test]
fn fewer_than_so_many_are_too_few_and_so_many_are_enough() {
    println!("seed {SEED}");
    for sites in [2, 3, 5] {
        for (patients, close) in [(0, true), (1, true), (10, true), (11, false), (12, false), (40, false)] {
            let shape =
                Ledgered { patients: 40, passes: 1, sets: 2, pairs: vec![(0, 1)], least: 11, ..Ledgered::default() };
            let tables = apart(sites, patients);
            assert_eq!(counted(&tables, &shape), [patients]);
            let got = answers(&World::new(sites).seed(SEED), false, &tables, &shape, Link::Local);
            assert_eq!(got, vec![close; sites], "{sites} sites, {patients} patients apart");
        }
    }
}

#[test]
fn sets_that_may_be_equal_are_too_close_when_they_differ_by_few_and_only_then() {
    println!("seed {SEED}");
    for (sites, form) in [2, 3].into_iter().flat_map(|sites| FORMS.map(|form| (sites, form))) {
        for (patients, close) in [(0, false), (1, true), (10, true), (11, false), (40, false)] {
            let shape = Ledgered {
                patients: 40,
                passes: 1,
                sets: 2,
                pairs: vec![],
                or_equal: vec![(0, 1)],
                least: 11,
                form,
                ..Ledgered::default()
            };
            let tables = apart(sites, patients);
            let got = answers(&World::new(sites).seed(SEED), false, &tables, &shape, Link::Local);
            assert_eq!(got, vec![close; sites], "{sites} sites, {patients} patients apart");
            // Beside a pair that may not be equal, and is not.
            let mut three = tables.clone();
            three.iter_mut().flat_map(Patients::values_mut).for_each(|sets| sets.push(false));
            let shape = Ledgered { sets: 3, pairs: vec![(1, 2)], ..shape.clone() };
            let got = answers(&World::new(sites).seed(SEED), false, &three, &shape, Link::Local);
            assert_eq!(got, vec![close || patients > 29; sites], "{sites} sites, {patients} patients apart of three");
            let check = Check::new(&shape, sites, PublicSeed([7; 32])).unwrap();
            let check = check.by(Method::Buckets { buckets: 128, hashes: 16 });
            for outcome in run_parts(World::new(sites).seed(SEED), &check, &three, &shape) {
                assert_eq!(outcome.result.unwrap().0, close || patients > 29, "{sites} sites, {patients}, in buckets");
            }
        }
    }
}

/// How many patients of all sites together each set has.
fn sizes(sites: &[Patients], shape: &Ledgered) -> Vec<u64> {
    let (nobody, mut all) = (shape.sets, sites.to_vec());
    all.iter_mut().flat_map(Patients::values_mut).for_each(|sets| sets.push(false));
    let pairs = (0..nobody).map(|set| (set, nobody)).collect();
    counted(&all, &Ledgered { sets: nobody + 1, pairs, ..shape.clone() })
}

#[test]
fn two_sets_that_nobody_is_shown_may_be_near_and_no_others() {
    let (least, shown, mut met) = (6, 6, [0, 0, 0]);
    for (sites, form, seen) in
        [(2, Form::Once, false), (3, Form::Once, true), (2, Form::Telescoped, false), (3, Form::Telescoped, false)]
    {
        for seed in SEED..SEED + 12 {
            println!("seed {seed}, {sites} sites, {form:?}, seen {seen}");
            let or_equal = vec![(0, 1), (1, 2), (0, 3)];
            let seen = if seen { or_equal.clone() } else { Vec::new() };
            let shape = Ledgered {
                patients: 30,
                passes: 1,
                sets: 4,
                or_equal,
                seen,
                least,
                shown,
                form,
                ..Ledgered::default()
            };
            let mut case = Case::at(0, sites, seed);
            // Few are in any set; the third has some more.
            let patient = |case: &mut Case| [9, 9, 5, 9].map(|rare| case.below(rare) == 0).to_vec();
            let site = |case: &mut Case| (0..25).map(|_| (case.below(40), patient(case))).collect();
            let tables: Vec<Patients> = (0..sites).map(|_| site(&mut case)).collect();
            let sizes = sizes(&tables, &shape);
            let near = |pairs: &[(usize, usize)], differ: Vec<u64>, gated: bool| {
                let is_seen = |(a, b): &(usize, usize)| !gated || sizes[*a] >= shown || sizes[*b] >= shown;
                pairs.iter().zip(differ).any(|(pair, differ)| (1..least).contains(&differ) && is_seen(pair))
            };
            let of_pairs = |pairs: &[(usize, usize)]| Ledgered { pairs: pairs.to_vec(), ..shape.clone() };
            let any = |gated: bool| {
                let whole = near(&shape.or_equal, counted(&tables, &of_pairs(&shape.or_equal)), gated);
                let views = (0..sites).any(|site| near(&shape.seen, counted_without(&tables, &shape, site), gated));
                whole || views
            };
            let want = any(true);
            met[match (want, any(false)) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            }] += 1;
            let got = answers(&World::new(sites).seed(seed), false, &tables, &shape, Link::Local);
            assert_eq!(got, vec![want; sites], "{sizes:?}");
            // A pair of an earlier release is near whatever is shown.
            let shape = Ledgered { pairs: vec![(0, 1)], or_equal: vec![(1, 2)], seen: Vec::new(), ..shape.clone() };
            let earlier = counted(&tables, &shape)[0] < least;
            let own = near(&[(1, 2)], counted(&tables, &of_pairs(&[(1, 2)])), true);
            let got = answers(&World::new(sites).seed(seed), false, &tables, &shape, Link::Local);
            assert_eq!(got, vec![earlier || own; sites], "{sizes:?}");
        }
    }
    println!("{met:?}: near, near but not shown, far");
    assert!(met.iter().all(|times| *times > 3), "{met:?}");
}

#[test]
fn of_many_sets_it_is_found_in_buckets_whether_they_are_shown() {
    println!("seed {SEED}");
    for (sites, patients, close) in [(2, 4, false), (3, 7, true), (2, 10, true), (3, 30, false)] {
        // Everybody who is in a set is in the first; all others are empty. More rows of sets than are counted one by one.
        let sets = 260;
        let or_equal = (1..sets).map(|set| (0, set)).collect();
        let shape = Ledgered { patients: 40, passes: 1, sets, or_equal, least: 11, shown: 6, ..Ledgered::default() };
        let mut tables = apart(sites, patients);
        for (patient, own) in tables.iter_mut().flatten() {
            let is_in = *patient < patients && own[0];
            *own = vec![false; sets];
            own[0] = is_in;
        }
        let got = answers(&World::new(sites).seed(SEED), false, &tables, &shape, Link::Local);
        assert_eq!(got, vec![close; sites], "{sites} sites, {patients} patients");
    }
}

/// As [`counted`], of what all sites but one say.
fn counted_without(sites: &[Patients], shape: &Ledgered, site: usize) -> Vec<u64> {
    let others: Vec<Patients> = sites[..site].iter().chain(&sites[site + 1..]).cloned().collect();
    counted(&others, &Ledgered { pairs: shape.seen.clone(), ..shape.clone() })
}

#[test]
fn what_every_site_sees_must_differ_by_enough_patients_of_others_or_by_none() {
    let (mut close, least) = ([0, 0], 5);
    for sites in [2, 3, 4] {
        for seed in SEED..SEED + 6 {
            println!("seed {seed}, {sites} sites");
            let seen = pairs(1, 3);
            let shape =
                Ledgered { patients: 30, passes: 1, sets: 3, pairs: seen.clone(), seen, least, ..Ledgered::default() };
            let tables = random(&mut Case::at(0, sites, seed), &shape, 6);
            let whole = counted(&tables, &shape).iter().any(|patients| *patients < least);
            let views: Vec<Vec<u64>> = (0..sites).map(|site| counted_without(&tables, &shape, site)).collect();
            let want = whole || views.iter().flatten().any(|patients| (1..least).contains(patients));
            close[usize::from(want && !whole)] += 1;
            let got = answers(&World::new(sites).seed(seed), false, &tables, &shape, Link::Local);
            assert_eq!(got, vec![want; sites], "{views:?}");
            let check = Check::new(&shape, sites, PublicSeed([0; 32])).unwrap();
            let entered: Vec<PatientTable> = tables.iter().map(|own| table(own, &shape)).collect();
            assert_eq!(clear::differences(&check, &entered), [counted(&tables, &shape), views.concat()].concat());
        }
    }
    println!("{close:?} were far and close by a site's view alone");
    assert!(close.iter().all(|times| *times > 2), "{close:?}");
}

/// Everybody is in the old set. Twelve of the first site alone leave it, and one whom the first two have: to the first the one remains.
#[test]
fn a_patient_at_two_sites_is_not_hidden_from_one_among_many_of_its_own() {
    println!("seed {SEED}");
    for sites in [2, 3, 4] {
        for (shared, close) in [(0, false), (1, true), (10, true), (11, false)] {
            let shape = Ledgered {
                patients: 30,
                passes: 1,
                sets: 3,
                pairs: vec![(0, 2)],
                seen: vec![(0, 2)],
                least: 11,
                ..Ledgered::default()
            };
            let of = |patient: u64| (patient, vec![patient >= 13 + shared, patient < 20, true]);
            let mut tables: Vec<Patients> = vec![(0..30).map(of).collect()];
            tables.push((12..12 + shared).map(|patient| (patient, vec![false, true, true])).collect());
            tables.resize(sites, Patients::new());
            assert_eq!(counted(&tables, &shape), [13 + shared]);
            assert_eq!([0, 1].map(|site| counted_without(&tables, &shape, site)), [[shared], [13 + shared]]);
            for from in 0..sites {
                // Whoever is first, in whichever site's bins the patients stand.
                tables.rotate_left(usize::from(from > 0));
                let got = answers(&World::new(sites).seed(SEED), false, &tables, &shape, Link::Local);
                assert_eq!(got, vec![close; sites], "{shared} at two of {sites} sites, turned by {from}");
            }
        }
    }
}

#[test]
fn empty_tables_are_too_close_and_disjoint_sets_of_one_site_or_all_are_not() {
    println!("seed {SEED}");
    let shape = Ledgered { patients: 9, passes: 1, sets: 2, pairs: vec![(0, 1)], least: 9, ..Ledgered::default() };
    let disjoint = |site: u64| (0..9).map(|patient| (100 * site + patient, vec![site != 1, site == 1])).collect();
    for (tables, close) in [
        (vec![Patients::new(); 3], true),
        (vec![disjoint(0), Patients::new(), Patients::new()], false),
        (vec![Patients::new(), Patients::new(), disjoint(1)], false),
        ((0..3).map(disjoint).collect(), false),
    ] {
        for form in FORMS {
            let shape = Ledgered { form, ..shape.clone() };
            assert_eq!(answers(&World::new(3).seed(SEED), false, &tables, &shape, Link::Local), [close; 3], "{form:?}");
        }
    }
    let telescoped = Ledgered { patients: 0, form: Form::Telescoped, ..shape.clone() };
    let nobody = vec![Patients::new(); 2];
    assert_eq!(answers(&World::new(2).seed(SEED), false, &nobody, &telescoped, Link::Local), [true; 2]);
    let none = Ledgered { patients: 0, ..shape.clone() };
    assert_eq!(answers(&World::new(2).seed(SEED), false, &vec![Patients::new(); 2], &none, Link::Local), [true; 2]);
    let unasked = Ledgered { pairs: Vec::new(), ..shape };
    assert_eq!(answers(&World::new(2).seed(SEED), false, &vec![Patients::new(); 2], &unasked, Link::Local), [false; 2]);
}

/// Rounds and bytes after set-up of OT, after the preparation, and at the end.
type Ran = (bool, [SiteCost; 3], [usize; 2]);

async fn by_parts(engine: &mut Additive, check: &Check, own: PatientTable) -> Result<Ran> {
    let so_far = |engine: &mut Additive| {
        let stats = engine.session().stats();
        (SiteCost { rounds: stats.rounds, bytes: stats.bytes() }, stats.messages() as usize)
    };
    let mut counts = [(SiteCost::default(), 0); 3];
    engine.prepare(&check.budget(Link::Local)?).await?;
    counts[0] = so_far(engine);
    let segments = align(engine, check.shapes(), check.runs(), Some(own)).await?;
    counts[1] = so_far(engine);
    let close = check.decide(engine, &segments, "close").await?;
    counts[2] = so_far(engine);
    Ok((close, counts.map(|count| count.0), [counts[1].1, counts[2].1]))
}

fn run_parts(world: World, check: &Check, tables: &[Patients], shape: &Ledgered) -> Vec<Outcome<Ran>> {
    let (check, shape) = (check.clone(), shape.clone());
    let program = move |session: Session, own: Patients| {
        let (check, shape) = (check.clone(), shape.clone());
        async move {
            let mut engine = Additive::new(session, release());
            let result = by_parts(&mut engine, &check, table(&own, &shape)).await;
            (engine.into_session(), result)
        }
    };
    world.run(program, tables.to_vec())
}

#[test]
fn buckets_never_accept_what_is_too_close_and_find_what_is_far() {
    println!("seed {SEED}");
    let method = Method::Buckets { buckets: 128, hashes: 16 };
    for (sites, patients) in [(2, 10), (2, 11), (3, 3), (3, 12), (3, 39), (5, 10), (5, 25)] {
        // Seventy pairs: more than a word of them, and sets of more than a word.
        let shape =
            Ledgered { patients: 40, passes: 1, sets: 71, pairs: pairs(1, 71), least: 11, ..Ledgered::default() };
        let mut tables = apart(sites, patients);
        tables.iter_mut().flat_map(Patients::values_mut).for_each(|sets| {
            let old = sets[1];
            sets.resize(71, old);
        });
        let check = Check::new(&shape, sites, PublicSeed([patients as u8; 32])).unwrap().by(method);
        let entered: Vec<PatientTable> = tables.iter().map(|own| table(own, &shape)).collect();
        assert_eq!(clear::differences(&check, &entered), [patients; 70]);
        for outcome in run_parts(World::new(sites).seed(SEED), &check, &tables, &shape) {
            assert_eq!(outcome.result.unwrap().0, patients < 11, "{sites} sites, {patients} patients");
        }
    }
}

#[test]
fn the_twin_counts_as_without_matching() {
    for (seed, sites, passes, form) in [
        (SEED, 2, 1, Form::Once),
        (SEED + 1, 3, 1, Form::Once),
        (SEED + 2, 5, 2, Form::Once),
        (SEED + 3, 3, 3, Form::Once),
        (SEED + 4, 2, 1, Form::Telescoped),
        (SEED + 5, 3, 1, Form::Telescoped),
        (SEED + 6, 5, 1, Form::Telescoped),
    ] {
        println!("seed {seed}, {sites} sites, {passes} passes, {form:?}");
        let shape =
            Ledgered { patients: 60, passes, sets: 6, pairs: pairs(2, 6), least: 2, form, ..Ledgered::default() };
        let tables = random(&mut Case::at(0, sites, seed), &shape, 5);
        let check = Check::new(&shape, sites, PublicSeed([0; 32])).unwrap();
        let entered: Vec<PatientTable> = tables.iter().map(|own| table(own, &shape)).collect();
        assert_eq!(clear::differences(&check, &entered), counted(&tables, &shape));
    }
}

#[test]
fn costs_are_those_predicted_and_do_not_depend_on_the_patients() {
    println!("seed {SEED}");
    let few = Method::Buckets { buckets: 64, hashes: 5 };
    for (sites, method, form) in [
        (2, Method::Exact, Form::Once),
        (3, Method::Exact, Form::Once),
        (5, Method::Exact, Form::Once),
        (3, few, Form::Once),
        (2, Method::Exact, Form::Telescoped),
        (3, Method::Exact, Form::Telescoped),
        (6, Method::Exact, Form::Telescoped),
    ] {
        println!("{sites} sites, {method:?}, {form:?}");
        let or_equal = vec![(1, 2), (3, 4)];
        let seen = if form == Form::Once { vec![(0, 5)] } else { Vec::new() };
        let shape = Ledgered {
            patients: 40,
            passes: 1,
            sets: 6,
            pairs: pairs(1, 6),
            or_equal,
            seen,
            least: 11,
            form,
            ..Ledgered::default()
        };
        let check = Check::new(&shape, sites, PublicSeed([0; 32])).unwrap().by(method);
        let mut seen = Vec::new();
        for tables in [vec![Patients::new(); sites], random(&mut Case::at(0, sites, SEED), &shape, 3)] {
            let ran = run_parts(World::new(sites).seed(SEED), &check, &tables, &shape);
            let counts: Vec<[SiteCost; 3]> = ran.into_iter().map(|outcome| outcome.result.unwrap().1).collect();
            let bytes = |from: usize, to: usize| counts.iter().map(|c| c[to].bytes - c[from].bytes).max().unwrap();
            let prepared = cost::of(&check.budget(Link::Local).unwrap(), sites as u64);
            assert_eq!(counts.iter().map(|count| count[0].bytes).max().unwrap(), prepared.bytes, "{method:?}");
            let aligned = cost::align(check.shapes(), check.runs(), Extension::SoftSpoken);
            assert_eq!(bytes(0, 1), aligned.bytes, "{method:?}, {sites} sites");
            let online = check.online(false, Link::Local).unwrap();
            assert_eq!(bytes(1, 2), online.bytes, "{method:?}, {sites} sites");
            let rounds = |at: usize| counts.iter().map(|count| count[at].rounds).max().unwrap();
            assert_eq!(rounds(2) - rounds(1), online.rounds, "{method:?}, {sites} sites");
            seen.push(counts);
        }
        assert_eq!(seen[0], seen[1]);
    }
}

#[test]
fn shapes_without_a_reviewed_size_and_tables_beyond_them_are_refused() {
    println!("seed {SEED}");
    let shape = Ledgered { patients: 9, passes: 1, sets: 2, pairs: vec![(0, 1)], least: 9, ..Ledgered::default() };
    let refused = |shape: Ledgered| Check::new(&shape, 3, PublicSeed([0; 32])).is_err();
    assert!(!refused(shape.clone()));
    assert!(refused(Ledgered { least: 1, ..shape.clone() }) && refused(Ledgered { least: 10_001, ..shape.clone() }));
    assert!(refused(Ledgered { pairs: vec![(0, 2)], ..shape.clone() }));
    assert!(refused(Ledgered { patients: 1 << 23, ..shape.clone() }));
    let telescoped = Ledgered { form: Form::Telescoped, ..shape.clone() };
    assert!(!refused(telescoped.clone()) && refused(Ledgered { passes: 2, ..telescoped.clone() }));
    assert!(refused(Ledgered { seen: vec![(0, 1)], ..telescoped }));
    assert!(refused(Ledgered { patients: 1 << 22, least: 10_000, pairs: vec![(0, 1); 4000], ..shape.clone() }));
    assert_eq!(format!("{:?}", entered(&apart(2, 1)[0], &shape)), "SetTable(40 patients, 2 sets)");
}

/// Goes through the frames behind the alignment at one deviating site: every seventeenth, for time: those that do not fit are blamed on it, and other contents end
/// the run at every site, with an error or an answer. Returns how many flips of content were noticed or made the answer wrong.
fn every_frame(sites: usize, by: usize, form: Form) -> usize {
    println!("seed {SEED}, {sites} sites, site {by} deviates, {form:?}");
    let shape =
        Ledgered { patients: 3, passes: 1, sets: 2, pairs: vec![(0, 1)], least: 2, form, ..Ledgered::default() };
    let patient = |site: usize, patient: u64| (patient, vec![site == 0, false]);
    let tables: Vec<Patients> = (0..sites).map(|site| (0..3).map(|p| patient(site, p)).collect()).collect();
    let check = Check::new(&shape, sites, PublicSeed([0; 32])).unwrap();
    let run = |change: Option<(usize, Change)>| {
        // Frames in memory; the clock stands still, so that deadlines take no time.
        let delay = Delay { latency: Duration::from_millis(1), bits_per_second: 0 };
        let world = World::new(sites).seed(SEED).over(Net::Simulated(delay)).deadline(Duration::from_millis(300));
        let world = match change {
            Some((frame, change)) => world.tamper(PartyId(by as u8), frame, change),
            None => world,
        };
        run_parts(world, &check, &tables, &shape)
    };
    let (close, _, [start, end]) = *run(None)[by].result.as_ref().expect("all are honest");
    assert!(!close && end > start, "the check sends frames");
    // The opening has its own tests.
    let opening = if sites == 2 { 3 } else { 4 } * (sites - 1);
    let mut effects = 0;
    for frame in (start..end - opening).step_by(17) {
        for change in MALFORMED {
            is_blamed(&run(Some((frame, change))), by, change, &format!("{sites} sites, frame {frame}, {change:?}"));
        }
        let outcomes = run(Some((frame, Change::FlipBody(0))));
        for outcome in outcomes.iter().enumerate().filter(|(party, _)| *party != by).map(|(_, outcome)| outcome) {
            let harmless = match &outcome.result {
                Ok(_) | Err(Error::Stopped { .. } | Error::Local { fault: LocalFault::Other(_), .. }) => true,
                Err(Error::Peer { party, fault, .. }) => {
                    *party == PartyId(by as u8) && matches!(fault, PeerFault::NonCanonical(_))
                }
                Err(_) => false,
            };
            assert!(harmless, "frame {frame} of site {by}: {:?}", outcome.result);
        }
        effects += usize::from(outcomes.iter().any(|o| o.result.as_ref().map_or(true, |ran| ran.0 != close)));
    }
    effects
}

#[test]
fn one_changed_frame_of_a_check_is_blamed_on_its_sender() {
    let once = [(2, 0), (2, 1), (3, 1)].map(|(sites, by)| every_frame(sites, by, Form::Once));
    let telescoped = [(2, 0), (2, 1), (3, 1)].map(|(sites, by)| every_frame(sites, by, Form::Telescoped));
    let effects = [once, telescoped].concat();
    println!("{effects:?} flips of content had an effect");
    // The control of the flips: they do reach the answer.
    assert!(effects.iter().sum::<usize>() > 0, "no flip of content had any effect");
}
