//! Random matchings: features of all kinds, nodes of all kinds, patients at every subset of the sites.

use mpc_core::Block;
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::matched::{Feature, Matching, Node, PatientKey, Relation, Step, What};
use query_planner::order::{Encoding, Number};
use query_planner::plan::{Groups, Key, Ring, Scale, SecureSum, Slot, Summand};
use query_planner::value::Value;

use super::plain::{Case, Facts};
use crate::local::patients::{Entry, Known, Patients};

const CODE_BITS: u32 = 5;
const BOUND: u32 = 3;
const TUPLES: usize = 3;

/// Random numbers for a test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn names(sites: usize) -> Vec<SiteName> {
    (0..sites).map(|site| SiteName(format!("S{site}"))).collect()
}

fn relation(sites: &[SiteName], contributors: &[usize]) -> Relation {
    let contributors = contributors.iter().map(|site| sites[*site].clone()).collect();
    Relation { contributors, local_work: String::new(), row_bound: 64, columns: Vec::new() }
}

/// A whole sum of one slot over features of one kind, each with these contributors.
pub fn fixed(sites: usize, holders: &[&[usize]], what: What, nodes: Vec<Node>, last: usize) -> Case {
    let names = names(sites);
    let relations: Vec<Relation> = holders.iter().map(|holders| relation(&names, holders)).collect();
    let feature = |relation| Feature { relation, filter: None, keys: Vec::new(), what, bits: 8 };
    let matching = Matching {
        sites: names.clone(),
        max_patients: 41,
        passes: 1,
        further_keys: None,
        features: (0..relations.len()).map(feature).collect(),
        relations,
        nodes: nodes.into_iter().map(|node| Step { node, bits: 8 }).collect(),
        row_keys: Vec::new(),
        patient_keys: Vec::new(),
        key_relation: None,
    };
    fill(&mut Dice(9), names, sum(matching, Vec::new(), &[last]))
}

/// A random program of so many nodes beyond the features.
pub fn case(seed: u64, sites: usize, nodes: usize) -> Case {
    let mut dice = Dice(seed.wrapping_mul(977).wrapping_add(sites as u64));
    let names = names(sites);
    let relations: Vec<Relation> = (0..4).map(|_| contributors(&mut dice, &names)).collect();
    let features = features(&mut dice, relations.len());
    let mut program = Program { dice: &mut dice, features: &features, steps: Vec::new() };
    program.write(sites, nodes);
    let (steps, bits, all) = program.chosen();
    let mut keys = Vec::new();
    let domain = |size: usize| Some((0..size as i64).map(Value::Int).collect());
    let key = |size| Key { expression: "k".into(), domain: domain(size) };
    let row_key = dice.below(2);
    keys.resize_with(row_key as usize, || key(2));
    keys.push(key(TUPLES));
    keys.resize_with(2, || key(2));
    let flag = dice.of(&bits);
    let patient = PatientKey { key: usize::from(row_key == 0), values: vec![flag, dice.of(&bits)] };
    let matching = Matching {
        sites: names.clone(),
        max_patients: 41,
        passes: 1,
        further_keys: None,
        relations,
        features,
        nodes: steps,
        row_keys: vec![row_key as usize],
        patient_keys: vec![patient],
        key_relation: None,
    };
    let slots = [dice.of(&bits), dice.of(&all), dice.of(&all), dice.of(&all)];
    fill(&mut dice, names, sum(matching, keys, &slots))
}

fn contributors(dice: &mut Dice, names: &[SiteName]) -> Relation {
    let mut chosen: Vec<usize> = (0..names.len()).filter(|_| dice.below(3) > 0).collect();
    if chosen.is_empty() {
        chosen.push(dice.below(names.len() as u64) as usize);
    }
    relation(names, &chosen)
}

fn encoding() -> Encoding {
    Encoding { number: Number::Exact(0), low: 0, bits: CODE_BITS, checked: true }
}

fn features(dice: &mut Dice, relations: usize) -> Vec<Feature> {
    let exact = Scale::Decimal(0);
    let kinds = [
        (What::Any, 1),
        (What::Any, 1),
        (What::Count(None), 8),
        (What::Sum(1, exact), 10),
        (What::Least(1, encoding()), CODE_BITS),
        (What::Greatest(1, encoding()), CODE_BITS + 1),
        (What::Events { column: 1, encoding: encoding(), bound: BOUND }, CODE_BITS),
    ];
    let twice = kinds.iter().chain(&kinds);
    let feature = |(at, (what, bits)): (usize, &(What, u32))| Feature {
        relation: dice.below(relations as u64) as usize,
        filter: None,
        keys: if at < kinds.len() { Vec::new() } else { vec![1] },
        what: *what,
        bits: *bits,
    };
    twice.enumerate().map(feature).collect()
}

fn sum(matching: Matching, keys: Vec<Key>, nodes: &[usize]) -> SecureSum {
    let slot = |node: &usize| Slot {
        what: Summand::Patients(*node),
        filter: None,
        ring: Ring::Z64,
        scale: Scale::Decimal(0),
        partial_bits: 50,
        proven: true,
    };
    SecureSum {
        contributors: matching.sites.clone(),
        local_work: String::new(),
        row_bound: 64,
        columns: Vec::new(),
        groups: if keys.is_empty() { Groups::Whole } else { Groups::Declared },
        keys,
        slots: nodes.iter().map(slot).collect(),
        cells: Vec::new(),
        disjoint: Vec::new(),
        orders: Vec::new(),
        sketches: Vec::new(),
        top: None,
        outputs: Vec::new(),
        patients: Vec::new(),
        matching: Some(matching),
        between: Vec::new(),
        sensitive: Vec::new(),
        noised: Vec::new(),
        supports: Vec::new(),
    }
}

/// Nodes with their bounds: a bit, or a number from the first to the second.
struct Program<'a> {
    dice: &'a mut Dice,
    features: &'a [Feature],
    steps: Vec<(Node, Option<(i128, i128)>)>,
}

impl Program<'_> {
    fn write(&mut self, sites: usize, nodes: usize) {
        let all = sites as i128;
        for (index, feature) in self.features.iter().enumerate() {
            let codes = (1 << feature.bits) - 1;
            match feature.what {
                What::Any => self.steps.push((Node::Feature(index), None)),
                What::Count(_) => self.steps.push((Node::Feature(index), Some((0, 9 * all)))),
                What::Sum(..) => self.steps.push((Node::Feature(index), Some((-99 * all, 99 * all)))),
                What::Least(..) => self.steps.push((Node::Feature(index), Some((0, codes + 1)))),
                What::Greatest(..) => self.steps.push((Node::Feature(index), Some((-1, codes)))),
                What::Events { .. } => self.events(index, all),
            }
        }
        (0..nodes).for_each(|_| self.step());
    }

    fn events(&mut self, feature: usize, sites: i128) {
        let count = Some((0, sites * i128::from(BOUND)));
        let at_least = self.dice.below(3);
        let at_most = [None, Some(at_least + self.dice.below(9)), Some(1 << 40), Some(0)];
        let gaps = Node::Gaps { feature, at_least, at_most: self.dice.of(&at_most) };
        self.steps.push((gaps, count));
        self.steps.push((Node::Nth { feature, n: self.dice.below(8) as u32 }, Some((0, 1 << CODE_BITS))));
        self.steps.push((Node::Length(feature), count));
    }

    fn pick(&mut self, number: bool) -> (usize, (i128, i128)) {
        let fits = |at: &usize| self.steps[*at].1.is_some() == number;
        let all: Vec<usize> = (0..self.steps.len()).filter(fits).collect();
        let at = self.dice.of(&all);
        (at, self.steps[at].1.unwrap_or_default())
    }

    fn step(&mut self) {
        let ((a, _), (b, _)) = (self.pick(false), self.pick(false));
        let ((x, (x0, x1)), (y, (y0, y1))) = (self.pick(true), self.pick(true));
        let constant = self.dice.below(60) as i64 - 30;
        let products = [x0 * y0, x0 * y1, x1 * y0, x1 * y1];
        let product = (products.iter().min().copied().unwrap(), products.iter().max().copied().unwrap());
        let step = match self.dice.below(12) {
            0 => (Node::Constant(constant), Some((constant.into(), constant.into()))),
            1 => (Node::Not(a), None),
            2 => (Node::And(a, b), None),
            3 => (Node::Or(a, b), None),
            10 => (Node::Differ(a, b), None),
            4 | 5 => (Node::Less(x, y), None),
            6 => (Node::Equal(x, y), None),
            7 => (Node::Add(x, y), Some((x0 + y0, x1 + y1))),
            8 => (Node::Subtract(x, y), Some((x0 - y1, x1 - y0))),
            9 if width(product) < 40 => (Node::Multiply(x, y), Some(product)),
            9 => (Node::Number(a), Some((0, 1))),
            _ => (Node::Select(a, x), Some((x0.min(0), x1.max(0)))),
        };
        self.steps.push(step);
    }

    /// The steps, the bits among them, and all of them.
    fn chosen(self) -> (Vec<Step>, Vec<usize>, Vec<usize>) {
        let bits = (0..self.steps.len()).filter(|at| self.steps[*at].1.is_none()).collect();
        let all = (0..self.steps.len()).collect();
        let step = |(node, range): (Node, Option<(i128, i128)>)| Step { node, bits: range.map_or(1, width) };
        (self.steps.into_iter().map(step).collect(), bits, all)
    }
}

fn width((low, high): (i128, i128)) -> u32 {
    (128 - low.unsigned_abs().max(high.unsigned_abs()).leading_zeros()).max(1)
}

/// Patients at every subset of the sites, with random facts.
fn fill(dice: &mut Dice, sites: Vec<SiteName>, sum: SecureSum) -> Case {
    let matching = sum.matching.clone().unwrap();
    let patients = 1usize << sites.len();
    let mut known: Vec<Patients> = sites.iter().map(|_| Patients::default()).collect();
    for (site, known) in known.iter_mut().enumerate() {
        let here = (0..patients).filter(|patient| patient >> site & 1 == 1);
        known.keys = here.map(|patient| vec![Some(Block(patient as u128 + 1000))]).collect();
        known.features = matching.features.iter().map(|_| Known::default()).collect();
    }
    let mut facts = Vec::new();
    for (index, feature) in matching.features.iter().enumerate() {
        let tuples: Vec<Vec<u8>> = match feature.keys.is_empty() {
            true => vec![Vec::new()],
            false => (0..TUPLES as i64).map(|value| keys::encode(&[Value::Int(value)])).collect(),
        };
        let mut all = vec![vec![Facts::default(); tuples.len()]; patients];
        for (site, name) in sites.iter().enumerate() {
            if !matching.relations[feature.relation].contributors.contains(name) {
                continue;
            }
            let mut entries = Vec::new();
            for (place, patient) in (0..patients).filter(|patient| patient >> site & 1 == 1).enumerate() {
                for (tuple, all) in all[patient].iter_mut().enumerate() {
                    let own = random_facts(dice, &feature.what);
                    let stored = stored(feature, &own);
                    let entry = |(at, number)| Entry { patient: place, tuple, at, number };
                    entries.extend(stored.into_iter().enumerate().map(entry));
                    all.any |= own.any;
                    all.number += own.number;
                    all.codes.extend(own.codes);
                }
            }
            known[site].features[index] = Known { tuples: tuples.clone(), entries };
        }
        facts.push(all);
    }
    Case { sites, sum, facts, known }
}

fn random_facts(dice: &mut Dice, what: &What) -> Facts {
    let codes = (0..dice.below(u64::from(BOUND) + 1)).map(|_| dice.below(1 << CODE_BITS)).collect();
    let number = match what {
        What::Count(_) => dice.below(10).into(),
        _ => i128::from(dice.below(199)) - 99,
    };
    Facts { any: dice.below(2) == 1, number, codes }
}

fn stored(feature: &Feature, facts: &Facts) -> Vec<u64> {
    let mut codes = facts.codes.clone();
    codes.sort_unstable();
    let one = |code: Option<u64>| code.into_iter().collect();
    match feature.what {
        What::Any => vec![u64::from(facts.any)],
        What::Count(_) | What::Sum(..) => vec![facts.number as u64],
        What::Least(..) => one(codes.first().map(|code| (1 << feature.bits) - code)),
        What::Greatest(..) => one(codes.last().map(|code| code + 1)),
        What::Events { .. } => codes.iter().map(|code| (2 << feature.bits) - code).collect(),
    }
}
