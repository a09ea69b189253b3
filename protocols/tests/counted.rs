//! The differencing check over sets that follow from what all sites know of a patient, in whole sessions.

mod conformance;

use std::collections::BTreeMap;

use conformance::Case;
use mpc_core::random::PublicSeed;
use mpc_core::world::{Outcome, World};
use mpc_core::{Bits, Block, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::additive::demand::Link;
use protocols::cost::{self, SiteCost};
use protocols::matching::{PatientTable, align, empty};
use protocols::relational::differencing::{
    Check, Columns, Counted, Form, Ledgered, Method, SetTable, clear, too_close,
};
use protocols::relational::patients::{self, Bit, Circuit, Number, Place, When};
use protocols::{Item, Statement};

const SEED: u64 = 20_261_123;

/// What a site knows of a patient.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    bits: [bool; 3],
    numbers: [u64; 2],
}

type Patients = BTreeMap<u64, Known>;

/// What decides whether a patient is in a set, of all sites' bits and sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    One,
    Everybody,
    Both,
    NotTheOther,
    AtLeast(u64),
    Product,
    Unequal(u64),
}

const RULES: [Rule; 6] = [Rule::One, Rule::Both, Rule::NotTheOther, Rule::AtLeast(9), Rule::Product, Rule::Unequal(7)];

impl Rule {
    fn holds(self, known: &Known) -> bool {
        let ([a, b, c], [m, n]) = (known.bits, known.numbers);
        match self {
            Rule::One => a,
            Rule::Everybody => b,
            Rule::Both => a && b,
            Rule::NotTheOther => a && !b,
            Rule::AtLeast(least) => m >= least,
            Rule::Product => m * n != 0,
            Rule::Unequal(other) => c && n != other,
        }
    }

    fn write(self, circuit: &mut Circuit, [a, b, c]: [Bit; 3], [m, n]: [Number; 2]) -> Bit {
        let not_zero = |circuit: &mut Circuit, number: Number| {
            let zero = circuit.number(0);
            let is_zero = circuit.equal(number, zero, 20);
            circuit.not(is_zero)
        };
        match self {
            Rule::One => a,
            Rule::Everybody => b,
            Rule::Both => circuit.and(a, b),
            Rule::NotTheOther => {
                let not = circuit.not(b);
                circuit.and(a, not)
            }
            Rule::AtLeast(least) => {
                let least = circuit.number(least);
                let less = circuit.less(m, least, 20);
                circuit.not(less)
            }
            Rule::Product => {
                let product = circuit.multiply(m, n);
                not_zero(circuit, product)
            }
            Rule::Unequal(other) => {
                let less = circuit.shift(n, other.wrapping_neg());
                let less = circuit.select(c, less);
                not_zero(circuit, less)
            }
        }
    }
}

/// Each receiver's flags, of its own columns and those of the sites behind it.
fn counted(sites: usize, rules: &[Rule]) -> Counted {
    let behind = |receiver: usize| vec![(When::After, receiver..sites)];
    of_form(sites, rules, Form::Once, behind)
}

/// The same of the sites before it, without its own columns and with them.
fn telescoped(sites: usize, rules: &[Rule]) -> Counted {
    let before = |receiver: usize| vec![(When::After, 0..receiver + 1), (When::Before, 0..receiver)];
    of_form(sites, rules, Form::Telescoped, before)
}

fn in_form(form: Form, sites: usize, rules: &[Rule]) -> Counted {
    if form == Form::Once { counted(sites, rules) } else { telescoped(sites, rules) }
}

fn of_form(
    sites: usize,
    rules: &[Rule],
    form: Form,
    told: impl Fn(usize) -> Vec<(When, std::ops::Range<usize>)>,
) -> Counted {
    let mut circuit = Circuit::default();
    let is_said = |set: usize| rules[set] == Rule::One;
    let times = (0..sites).flat_map(|receiver| told(receiver).into_iter().map(move |(when, by)| (receiver, when, by)));
    for (receiver, when, by) in times {
        let receiver = PartyId(receiver as u8);
        let behind: Vec<PartyId> = by.map(|site| PartyId(site as u8)).collect();
        let place = |site: &PartyId, column| Place { receiver, site: *site, column };
        let bits = [0, 1, 2].map(|column| {
            let mut any = circuit.bit(false);
            for site in &behind {
                let known = circuit.known_bit(place(site, column));
                any = circuit.or(any, known);
            }
            any
        });
        let numbers = [0, 1].map(|column| {
            let mut sum = circuit.number(0);
            for site in &behind {
                let known = circuit.known_number(place(site, column));
                sum = circuit.add(sum, known);
            }
            sum
        });
        for (set, rule) in rules.iter().enumerate() {
            let bit = rule.write(&mut circuit, bits, numbers);
            // Telescoped, what is said needs no circuit.
            if form == Form::Once || !is_said(set) {
                circuit.flag_when(set, receiver, when, bit);
            }
        }
    }
    let said = (0..rules.len()).filter(|set| is_said(*set)).map(|set| (set, vec![0; sites])).collect();
    Counted { circuit, columns: vec![Columns { numbers: 2, bits: 3 }; sites], said }
}

/// How many patients each pair differs by, without any matching and without any circuit.
fn differing(sites: &[Patients], rules: &[Rule], pairs: &[(usize, usize)]) -> Vec<u64> {
    let mut joint: BTreeMap<u64, Known> = BTreeMap::new();
    for (patient, known) in sites.iter().flatten() {
        let all = joint.entry(*patient).or_default();
        all.bits.iter_mut().zip(known.bits).for_each(|(all, own)| *all |= own);
        all.numbers.iter_mut().zip(known.numbers).for_each(|(all, own)| *all += own);
    }
    let differ = |(new, old): &(usize, usize)| {
        joint.values().filter(|known| rules[*new].holds(known) != rules[*old].holds(known)).count() as u64
    };
    pairs.iter().map(differ).collect()
}

fn key(patient: u64, pass: usize) -> Block {
    Block(u128::from(patient + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).rotate_left(pass as u32))
}

fn table(patients: &Patients, passes: usize) -> PatientTable {
    let known = |patient: u64, pass: usize| (patient % 3 != 1 || pass == 0).then(|| key(patient, pass));
    let keys = (0..passes).map(|pass| patients.keys().map(|patient| known(*patient, pass)).collect()).collect();
    let mut bits = Bits::zeros(patients.len(), 3);
    for (row, known) in patients.values().enumerate() {
        known.bits.iter().enumerate().for_each(|(column, bit)| bits.set(row, column, *bit));
    }
    let numbers = [0, 1].map(|column| patients.values().map(|known| Z64(known.numbers[column])).collect());
    PatientTable { keys, further: Vec::new(), numbers: numbers.into(), bits }
}

fn entered(patients: &Patients, passes: usize) -> SetTable {
    SetTable::of(table(patients, passes))
}

/// Up to so many of one and a half times as many patients at each site; more than half are at several.
fn random(case: &mut Case, patients: u64) -> Vec<Patients> {
    let known = |case: &mut Case| Known {
        bits: [0; 3].map(|_| case.below(3) > 0),
        numbers: [0; 2].map(|_| if case.below(4) == 0 { 0 } else { case.below(8) }),
    };
    let site = |case: &mut Case| (0..patients).map(|_| (case.below(3 * patients / 2), known(case))).collect();
    (0..case.sites).map(|_| site(case)).collect()
}

fn pairs(new: usize, sets: usize) -> Vec<(usize, usize)> {
    (0..new).flat_map(|new_set| (new..sets).map(move |old| (new_set, old))).collect()
}

/// New and old rules of a case, each new one beside old ones; a rule may come back.
fn rules(case: &mut Case) -> (Vec<Rule>, usize) {
    let count = 2 + case.below(5) as usize;
    let rules: Vec<Rule> = (0..count).map(|_| RULES[case.below(6) as usize]).collect();
    (rules, 1 + case.below(count as u64 - 1) as usize)
}

fn release() -> Statement {
    Statement::new(vec![Item::to_everyone("close")])
}

#[test]
fn the_twin_counts_the_patients_whom_all_sites_columns_together_put_in_one_set_only() {
    for seed in SEED..SEED + 60 {
        let (sites, passes) = (2 + (seed % 4) as usize, 1 + (seed % 2) as usize);
        println!("seed {seed}, {sites} sites, {passes} passes");
        let mut case = Case::at(0, sites, seed);
        let (rules, new) = rules(&mut case);
        let tables = random(&mut case, 40);
        let pairs = pairs(new, rules.len());
        let shape =
            Ledgered { patients: 40, passes, sets: rules.len(), pairs: pairs.clone(), least: 2, ..Ledgered::default() };
        let entered: Vec<PatientTable> = tables.iter().map(|own| table(own, passes)).collect();
        for form in if passes == 1 { vec![Form::Once, Form::Telescoped] } else { vec![Form::Once] } {
            let (shape, counted) = (Ledgered { form, ..shape.clone() }, in_form(form, sites, &rules));
            let check = Check::of(&shape, &counted, sites, PublicSeed([0; 32])).unwrap();
            assert_eq!(clear::differences(&check, &entered), differing(&tables, &rules, &pairs), "{rules:?}, {form:?}");
        }
    }
}

/// What every party gets; the last one is the analyst, who knows sizes only.
fn answers(world: &World, tables: &[Patients], shape: &Ledgered, counted: &Counted, link: Link) -> Vec<bool> {
    let (shape, counted) = (shape.clone(), counted.clone());
    let program = move |session: Session, own: Option<Patients>| {
        let (shape, counted) = (shape.clone(), counted.clone());
        async move {
            let mut engine = Additive::new(session, release());
            let counted = own.as_ref().map(|_| &counted);
            let own = own.as_ref().map(|own| entered(own, shape.passes));
            let close = too_close(&mut engine, &shape, counted, own, ("close", link)).await;
            (engine.into_session(), close)
        }
    };
    let own = tables.iter().cloned().map(Some).chain([None]).collect();
    world.run(program, own).into_iter().map(|outcome| outcome.result.expect("all are honest")).collect()
}

#[test]
fn every_party_learns_whether_two_counted_sets_are_too_close_and_nothing_needs_to_know_it_but_sites() {
    let mut close = [0, 0];
    for (at, (sites, passes, link, form)) in [
        (2, 1, Link::Local, Form::Once),
        (3, 1, Link::Local, Form::Once),
        (3, 2, Link::Far, Form::Once),
        (5, 1, Link::Local, Form::Once),
        (2, 1, Link::Local, Form::Telescoped),
        (3, 1, Link::Far, Form::Telescoped),
        (4, 1, Link::Local, Form::Telescoped),
    ]
    .into_iter()
    .enumerate()
    {
        for seed in [SEED, SEED + 1, SEED + 2].map(|seed| seed + 10 * at as u64) {
            println!("seed {seed}, {sites} sites, {passes} passes, {link:?}");
            let mut case = Case::at(0, sites, seed);
            let (rules, new) = rules(&mut case);
            let tables = random(&mut case, 40);
            let pairs = pairs(new, rules.len());
            let least = differing(&tables, &rules, &pairs).into_iter().min().unwrap();
            // One patient decides: as many as there are are enough, one more are not.
            for (least, want) in [(least, false), (least + 1, true)].into_iter().filter(|(least, _)| *least > 1) {
                let shape = Ledgered {
                    patients: 40,
                    passes,
                    sets: rules.len(),
                    pairs: pairs.clone(),
                    least,
                    form,
                    ..Ledgered::default()
                };
                let world = World::new(sites).with_analyst().seed(seed);
                let got = answers(&world, &tables, &shape, &in_form(form, sites, &rules), link);
                assert_eq!(got, vec![want; sites + 1], "{rules:?}, least {least}");
                close[usize::from(want)] += 1;
            }
        }
    }
    println!("{close:?} were far and close");
    assert!(close.iter().all(|times| *times > 2), "{close:?}");
}

/// Rounds and bytes after the preparation, the alignment, and the decision.
async fn by_parts(
    engine: &mut Additive,
    check: &Check,
    own: PatientTable,
    link: Link,
) -> Result<(bool, [SiteCost; 3])> {
    let so_far = |engine: &mut Additive| {
        let stats = engine.session().stats();
        SiteCost { rounds: stats.rounds, bytes: stats.bytes() }
    };
    engine.prepare(&check.budget(link)?).await?;
    let prepared = so_far(engine);
    let segments = align(engine, check.shapes(), check.runs(), Some(own)).await?;
    let aligned = so_far(engine);
    let close = check.decide(engine, &segments, "close").await?;
    Ok((close, [prepared, aligned, so_far(engine)]))
}

fn run_parts(sites: usize, check: &Check, tables: &[Patients], link: Link) -> Vec<Outcome<(bool, [SiteCost; 3])>> {
    let check = check.clone();
    let program = move |session: Session, own: Patients| {
        let check = check.clone();
        async move {
            let mut engine = Additive::new(session, release());
            let result = by_parts(&mut engine, &check, table(&own, 1), link).await;
            (engine.into_session(), result)
        }
    };
    World::new(sites).seed(SEED).run(program, tables.to_vec())
}

#[test]
fn costs_of_counted_sets_are_those_predicted_and_do_not_depend_on_the_patients() {
    println!("seed {SEED}");
    let few = Method::Buckets { buckets: 64, hashes: 5 };
    for (sites, method, link, form) in [
        (2, Method::Exact, Link::Local, Form::Once),
        (3, Method::Exact, Link::Far, Form::Once),
        (4, Method::Exact, Link::Local, Form::Once),
        (3, few, Link::Local, Form::Once),
        (2, Method::Exact, Link::Local, Form::Telescoped),
        (3, Method::Exact, Link::Far, Form::Telescoped),
        (4, Method::Exact, Link::Local, Form::Telescoped),
    ] {
        let shape = Ledgered {
            patients: 40,
            passes: 1,
            sets: RULES.len(),
            pairs: pairs(2, RULES.len()),
            least: 5,
            form,
            ..Ledgered::default()
        };
        let counted = in_form(form, sites, &RULES);
        let check = Check::of(&shape, &counted, sites, PublicSeed([0; 32])).unwrap().by(method);
        let prepared = cost::of(&check.budget(link).unwrap(), sites as u64);
        let online = check.online(false, link).unwrap();
        let mut seen = Vec::new();
        for tables in [vec![Patients::new(); sites], random(&mut Case::at(0, sites, SEED), 40)] {
            let ran = run_parts(sites, &check, &tables, link);
            let costs: Vec<[SiteCost; 3]> = ran.into_iter().map(|outcome| outcome.result.unwrap().1).collect();
            assert_eq!(
                costs.iter().map(|cost| cost[0].bytes).max().unwrap(),
                prepared.bytes,
                "{sites} sites, {method:?}"
            );
            let sent = costs.iter().map(|cost| cost[2].bytes - cost[1].bytes).max().unwrap();
            assert_eq!(sent, online.bytes, "{sites} sites, {method:?}");
            let rounds = |at: usize| costs.iter().map(|cost| cost[at].rounds).max().unwrap();
            assert_eq!(rounds(2) - rounds(1), online.rounds, "{sites} sites, {method:?}, {form:?}");
            seen.push(costs);
        }
        assert_eq!(seen[0], seen[1]);
    }
}

/// What the choice of a form, and the bound of what can be compared, go by.
#[test]
fn telescoped_a_circuit_takes_at_most_as_much_more_as_it_is_evaluated_more_often() {
    let rules = &RULES[1..];
    for sites in 2..=8 {
        let ands = |form: Form| {
            let pairs = pairs(1, rules.len());
            let shape =
                Ledgered { patients: 40, passes: 1, sets: rules.len(), pairs, least: 5, form, ..Ledgered::default() };
            let counted = in_form(form, sites, rules);
            let check = Check::of(&shape, &counted, sites, PublicSeed([0; 32])).unwrap();
            patients::ands(&counted.circuit, &empty(check.shapes(), check.runs())).unwrap()
        };
        let (once, telescoped) = (ands(Form::Once), ands(Form::Telescoped));
        println!("{sites} sites: {once} and {telescoped}");
        assert!(once < telescoped && telescoped * sites <= once * (2 * sites - 1), "{sites} sites");
    }
}

/// Sets that every site sees beside a counted one: what each site says itself is taken off, not whom it knows.
#[test]
fn said_sets_beside_counted_ones_are_compared_without_what_each_site_says() {
    let (mut close, least) = ([0, 0], 5);
    for seed in SEED..SEED + 12 {
        let sites = 2 + (seed % 3) as usize;
        println!("seed {seed}, {sites} sites");
        let mut tables = random(&mut Case::at(0, sites, seed), 40);
        // The old set is everybody's, of the new one few of some sites are left out.
        let mut case = Case::at(1, sites, seed);
        for known in tables.iter_mut().flat_map(Patients::values_mut) {
            known.bits = [case.below(6) > 0, true, true];
        }
        let rules = [Rule::One, Rule::Everybody, Rule::AtLeast(9)];
        let said = BTreeMap::from([(0, vec![0; sites]), (1, vec![1; sites])]);
        let counted = Counted { said, ..counted(sites, &rules) };
        let shape = Ledgered {
            patients: 40,
            passes: 1,
            sets: 3,
            pairs: vec![(0, 1), (0, 2)],
            seen: vec![(0, 1)],
            least,
            ..Ledgered::default()
        };
        let whole = differing(&tables, &rules, &shape.pairs);
        let view = |site: usize| {
            let others = [&tables[..site], &tables[site + 1..]].concat();
            differing(&others, &rules, &shape.seen)[0]
        };
        let views: Vec<u64> = (0..sites).map(view).collect();
        let want = whole.iter().any(|apart| *apart < least) || views.iter().any(|apart| (1..least).contains(apart));
        close[usize::from(want)] += 1;
        let check = Check::of(&shape, &counted, sites, PublicSeed([0; 32])).unwrap();
        let entered: Vec<PatientTable> = tables.iter().map(|own| table(own, 1)).collect();
        assert_eq!(clear::differences(&check, &entered), [whole, views].concat());
        let got = answers(&World::new(sites).with_analyst().seed(seed), &tables, &shape, &counted, Link::Local);
        assert_eq!(got, vec![want; sites + 1]);
    }
    println!("{close:?} were far and close");
    assert!(close.iter().all(|times| *times > 1), "{close:?}");
}

#[test]
fn a_set_that_every_site_sees_must_be_said() {
    println!("seed {SEED}");
    let shape = Ledgered {
        patients: 9,
        passes: 1,
        sets: 6,
        pairs: vec![(0, 1)],
        seen: vec![(0, 1)],
        least: 9,
        ..Ledgered::default()
    };
    let refused = |counted: &Counted| Check::of(&shape, counted, 3, PublicSeed([0; 32])).is_err();
    let sound = counted(3, &RULES);
    assert!(refused(&sound), "set 1 is counted");
    let said = |columns: Vec<usize>| Counted { said: BTreeMap::from([(0, vec![0; 3]), (1, columns)]), ..sound.clone() };
    assert!(!refused(&said(vec![1; 3])));
    assert!(refused(&said(vec![3; 3])) && refused(&said(vec![1; 2])), "columns that sites do not have");
}

#[test]
fn a_set_of_everybody_and_columns_of_other_sites_are_refused() {
    println!("seed {SEED}");
    let shape = Ledgered { patients: 9, passes: 1, sets: 6, pairs: vec![(0, 1)], least: 9, ..Ledgered::default() };
    let refused = |counted: &Counted| Check::of(&shape, counted, 3, PublicSeed([0; 32])).is_err();
    let sound = counted(3, &RULES);
    assert!(!refused(&sound));
    assert!(refused(&counted(2, &RULES)));
    let mut everybody = sound.clone();
    let bit = everybody.circuit.bit(true);
    everybody.circuit.flag(0, PartyId(0), bit);
    assert!(refused(&everybody));
    let narrow = Counted { columns: vec![Columns { numbers: 2, bits: 2 }; 3], ..sound };
    assert!(refused(&narrow), "a column that no site enters");
}
