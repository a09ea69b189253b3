//! Whose rows the figures of a release are made of: one set of patients for each figure and group. A site knows its own patients in
//! each set, or where it takes all sites to know who counts, what the set follows from. What makes the sets is public, and the same at
//! every party.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use mpc_core::Block;
use protocols::matching::Further;
use query_planner::catalog::SiteName;
use query_planner::matched::{Matching, Node};
use query_planner::plan::{Groups, SecureSum, Summand};
use query_planner::value::Value;
use query_planner::{Audience, Compiled, decode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::figures::{Counted, Figures, tuple};
use crate::execute::patients::{Layout, Stands, further, keyed, layout, whole};
use crate::local::Partials;
use crate::local::patients::{Known as KnownFeature, Patients};
use crate::source::{BoundData, Known};

/// What one site knows of its patients behind each figure of a release. Does not print; wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sets {
    /// How sets come of the columns below.
    #[serde(with = "as_text")]
    pub figures: Figures,
    /// What working them out on shares may take whoever waits for it; public.
    pub busy_ms: u64,
    /// What the patients' keys are hashes under: see [`crate::source::BoundData::study`].
    pub domain: [u8; 32],
    /// Each patient, as matching finds it and as this site knows it.
    pub people: Vec<Person>,
    /// For each set that is said, then for each column of bits: positions in `people`, ascending.
    pub members: Vec<Vec<u32>>,
    /// For each column of numbers, those that are not 0 and whose they are.
    pub numbers: Vec<Vec<(u32, u64)>>,
}

/// How a patient is known. Does not print; who holds it wipes it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The keys by which matching finds it, one for each pass.
    pub keys: Vec<Option<[u8; 16]>>,
    /// Further ones, each with its pass.
    pub further: Vec<(u32, [u8; 16])>,
    /// Hashes of the site's own keys of a patient that is linked by others: by them it is known again when those have changed.
    pub names: Vec<[u8; 16]>,
}

impl Person {
    /// Somebody with these keys and nothing else.
    pub fn of(keys: Vec<Option<[u8; 16]>>) -> Self {
        Self { keys, ..Self::default() }
    }
}

impl Zeroize for Person {
    fn zeroize(&mut self) {
        self.keys.zeroize();
        self.further.iter_mut().for_each(|(_, key)| key.zeroize());
        self.names.zeroize();
    }
}

impl Sets {
    /// Sets of which a site knows its own members.
    pub fn said(domain: [u8; 32], people: Vec<Person>, members: Vec<Vec<u32>>) -> Self {
        let figures = Figures { said: members.len(), ..Figures::default() };
        Self { figures, busy_ms: 0, domain, people, members, numbers: Vec::new() }
    }

    /// Patients that this site still has are found by the keys that they have now.
    pub fn renew(&mut self, data: &BoundData, site: &SiteName) {
        for person in &mut self.people {
            let present = person.names.iter().find_map(|name| data.known_by(site, Block::from_le_bytes(*name)));
            let Some(Known { keys, further }) = present else { continue };
            person.keys = keys.into_iter().map(|key| key.map(|key| key.to_le_bytes())).collect();
            person.further = further.into_iter().map(|(pass, key)| (pass as u32, key.to_le_bytes())).collect();
        }
    }
}

/// A plan's parts leave out what is as usual, which the form of records has no way to say.
mod as_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Figures;

    pub fn serialize<S: Serializer>(figures: &Figures, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(figures).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Figures, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What a release's sets are of, as all parties know it once its groups are known.
#[derive(Clone, Default)]
pub struct Planned {
    figures: Figures,
    said: Vec<Figure>,
    /// For each counted sum its position, and the numbers of its tuples of row keys.
    counted: Vec<(usize, HashMap<Vec<u8>, usize>)>,
}

/// What one set is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    sum: usize,
    of: Of,
    /// An encoded tuple of the feature's keys; none for all of them together.
    tuple: Option<Vec<u8>>,
}

/// Whose patients a set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those of a feature.
    Feature(usize),
    /// All who may have put a key among those that are agreed.
    Keys,
}

/// What tells the groups of one sum apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group<'a> {
    /// An encoded tuple of keys.
    Said(&'a [u8]),
    /// Its number.
    Counted(usize),
}

impl Planned {
    /// Of a sum whose groups are agreed everybody whose keys these may be. Then of one over matched patients who counts; of every other one set
    /// for each thing that is known of patients, and one for each of its groups.
    ///
    /// # Errors
    /// What contradicts itself in the plan, in words.
    pub fn new(compiled: &Compiled, groups: &[Vec<Vec<Value>>]) -> Result<Self, String> {
        let everyone = compiled.joint.audience == Audience::Everyone;
        let figures = Figures { everyone, ..Figures::default() };
        let mut planned = Self { figures, said: Vec::new(), counted: Vec::new() };
        for (sum, groups) in groups.iter().enumerate() {
            let Some(matching) = matching(compiled, sum) else { continue };
            let (tuples, keyed) = keyed(&compiled.joint.sums[sum], matching, groups)?;
            // Also of a table of rows, whose own sets have patients as well who cannot be linked and put in no key: with them two lists would
            // look further apart than they are.
            if matches!(compiled.joint.sums[sum].groups, Groups::Agreed { .. }) {
                planned.said.push(Figure { sum, of: Of::Keys, tuple: None });
            }
            match Counted::of(compiled, sum, (tuples.len(), keyed)) {
                // A sum of no groups counts nobody.
                Some(_) if groups.is_empty() => {}
                // Bins without a patient would count.
                Some(counted) if !matching.is_grounded(&counted.nodes) => {
                    return Err("a figure counts patients that nobody has".into());
                }
                Some(counted) => {
                    planned.figures.counted.push(counted);
                    planned.counted.push((sum, tuples));
                }
                None => planned.said.extend(said(matching, &compiled.joint.sums[sum], (sum, groups))),
            }
        }
        planned.figures.said = planned.said.len();
        Ok(planned)
    }

    /// The sets that need no agreed key: all, where no key is agreed.
    ///
    /// # Errors
    /// As [`Planned::new`].
    pub fn whole(compiled: &Compiled) -> Result<Self, String> {
        let known = |sum: &SecureSum| match sum.groups {
            Groups::Agreed { .. } => Vec::new(),
            _ => decode::groups(sum),
        };
        Self::new(compiled, &compiled.joint.sums.iter().map(known).collect::<Vec<_>>())
    }

    /// The sets that are not among these, which are some of them.
    pub fn without(self, others: &Planned) -> Self {
        let is_other = |sum: &usize| others.counted.iter().all(|(known, _)| known != sum);
        let said: Vec<Figure> = self.said.into_iter().filter(|figure| !others.said.contains(figure)).collect();
        let counted = self.figures.counted.into_iter().zip(self.counted).filter(|(_, (sum, _))| is_other(sum));
        let (figures, counted): (Vec<Counted>, Vec<_>) = counted.unzip();
        let everyone = self.figures.everyone;
        Self { figures: Figures { said: said.len(), counted: figures, everyone }, said, counted }
    }

    /// How the sets come of what sites know.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Pairs of sets that may be equal and must not differ by few: each figure of the one sum beside each of the other, or of a sum beside itself
    /// each two of different groups. Whose keys are listed is beside the figures of no other sum: who cannot be linked is in these alone.
    pub fn side_by_side(&self, sums: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let said = self
            .said
            .iter()
            .map(|set| (set.of != Of::Keys).then_some((set.sum, set.tuple.as_deref().map(Group::Said))));
        let counted = self.counted.iter().zip(&self.figures.counted);
        let counted = counted.flat_map(|((sum, _), counted)| {
            (0..counted.sets()).map(|set| Some((*sum, counted.group(set).map(Group::Counted))))
        });
        let sets: Vec<Option<(usize, Option<Group<'_>>)>> = said.chain(counted).collect();
        let beside = |a: (usize, Option<Group<'_>>), b: (usize, Option<Group<'_>>)| match a.0 == b.0 {
            true => sums.contains(&(a.0, a.0)) && a.1.is_some() && b.1.is_some() && a.1 != b.1,
            false => sums.contains(&(a.0.min(b.0), a.0.max(b.0))),
        };
        let pairs = (0..sets.len()).flat_map(|a| (a + 1..sets.len()).map(move |b| (a, b)));
        pairs.filter(|(a, b)| sets[*a].zip(sets[*b]).is_some_and(|(a, b)| beside(a, b))).collect()
    }

    /// Pairs of sets that may not even be equal: those whose keys the lists of two sums are.
    pub fn lists_apart(&self, sums: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let keys = |sum: usize| self.said.iter().position(|figure| figure.sum == sum && figure.of == Of::Keys);
        sums.iter().filter_map(|(a, b)| Some((keys(*a)?, keys(*b)?))).collect()
    }

    /// What site `me` knows of its own patients in each of these sets; under which keys, and what is noted of the work they are.
    pub fn own(
        &self,
        sites: &[SiteName],
        me: usize,
        partials: &[Partials],
        (domain, busy_ms): ([u8; 32], u64),
    ) -> Sets {
        let known = |sum: usize| {
            let partials = partials.get(sum)?;
            partials.patients.as_ref().or(partials.cohort.as_ref())
        };
        let mut people = People::default();
        let members = |figure: &Figure| known(figure.sum).map(|known| people.members(known, figure));
        let mut members: Vec<_> = self.said.iter().map(members).map(Option::unwrap_or_default).collect();
        let mut columns = Vec::new();
        for (counted, (sum, tuples)) in self.figures.counted.iter().zip(&self.counted) {
            let layout = layout(&counted.matching, &sites[me], counted.tuples);
            let nobody = Patients::default();
            let mut own = people.columns(known(*sum).unwrap_or(&nobody), (counted, &layout, tuples));
            members.append(&mut own.bits);
            columns.append(&mut own.numbers);
        }
        Sets { figures: self.figures.clone(), busy_ms, domain, people: people.all.clone(), members, numbers: columns }
    }
}

impl Of {
    /// Of what a site knows.
    fn features(self, known: &[KnownFeature]) -> impl Iterator<Item = &KnownFeature> {
        let has_keys = |feature: &KnownFeature| feature.tuples.iter().any(|tuple| !tuple.is_empty());
        let is_of = move |(at, feature): &(usize, &KnownFeature)| match self {
            Of::Feature(wanted) => *at == wanted,
            // As keys are counted: see `execute`.
            Of::Keys => has_keys(feature),
        };
        known.iter().enumerate().filter(is_of).map(|(_, feature)| feature)
    }
}

/// One figure for each thing that is known of patients, and one for each of its groups. Who is between two figures is in neither alone.
fn said(matching: &Matching, of: &SecureSum, (sum, groups): (usize, &[Vec<Value>])) -> Vec<Figure> {
    let mut figures = Vec::new();
    let between = between(matching, of);
    for (feature, known) in matching.features.iter().enumerate().filter(|(feature, _)| !between.contains(feature)) {
        let of = Of::Feature(feature);
        figures.push(Figure { sum, of, tuple: None });
        let tuples = groups.iter().filter(|_| !known.keys.is_empty());
        let mut tuples: Vec<Vec<u8>> = tuples.filter_map(|group| tuple(matching, group)).collect();
        tuples.sort();
        tuples.dedup();
        figures.extend(tuples.into_iter().map(|tuple| Figure { sum, of, tuple: Some(tuple) }));
    }
    figures
}

/// The features that nothing but [`SecureSum::between`] looks at. Who is between two cells can be who stands behind a third, in one slot.
fn between(matching: &Matching, sum: &SecureSum) -> BTreeSet<usize> {
    let of_slots = |wanted: fn(&SecureSum, usize) -> bool| {
        let mut features = BTreeSet::new();
        for slot in (0..sum.slots.len()).filter(|slot| wanted(sum, *slot)) {
            if let Summand::Patients(node) = sum.slots[slot].what {
                looked_at(matching, node, &mut features);
            }
        }
        features
    };
    &of_slots(SecureSum::is_between_only) - &of_slots(|sum, slot| !sum.is_between_only(slot))
}

/// The features that a node is made of.
fn looked_at(matching: &Matching, node: usize, features: &mut BTreeSet<usize>) {
    let step = &matching.nodes[node].node;
    if let Node::Feature(feature) = step {
        features.insert(*feature);
    }
    step.operands().into_iter().for_each(|operand| looked_at(matching, operand, features));
}

/// What is known of patients for a sum: what is matched, or what the site notes for itself.
fn matching(compiled: &Compiled, sum: usize) -> Option<&Matching> {
    let cohort = compiled.local.get(sum).and_then(|stage| stage.cohort.as_ref());
    compiled.joint.sums[sum].matching.as_ref().or(cohort.map(|cohort| &cohort.matching))
}

/// How many patients each site has at most, and in how many ways they are found at other sites.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Patients.
    pub patients: usize,
    /// Passes.
    pub passes: usize,
    /// Further keys of some patients.
    pub further: Further,
}

/// What the catalogue declares, as the plan has it.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub fn bounds(compiled: &Compiled) -> Result<Bounds, String> {
    // The same in all of them.
    let first = (0..compiled.joint.sums.len()).find_map(|sum| matching(compiled, sum));
    let Some(matching) = first else { return Ok(Bounds { patients: 0, passes: 1, further: Further::NONE }) };
    let further = further(matching)?;
    Ok(Bounds { patients: matching.max_patients as usize, passes: matching.passes as usize, further })
}

/// Patients of several sums or releases, each once.
#[derive(Default)]
pub struct People {
    all: Vec<Person>,
    /// By pass and first key.
    places: HashMap<(usize, [u8; 16]), u32>,
}

impl People {
    /// How each is known.
    pub fn all(&self) -> &[Person] {
        &self.all
    }

    /// With the patients of a release.
    pub fn meet(&mut self, of: &Sets) {
        for person in &of.people {
            self.place(person.clone());
        }
    }

    /// With the patients by whom a sum is matched.
    pub fn meet_all(&mut self, known: &Patients) {
        for patient in 0..known.keys.len() {
            self.patient(known, patient);
        }
    }

    /// The columns of a release among these patients, whom its own join.
    pub fn take(&mut self, of: &Sets, columns: &mut Entered) {
        let places: Vec<u32> = of.people.iter().map(|person| self.place(person.clone())).collect();
        let place = |patient: &u32| places[*patient as usize];
        columns.bits.extend(of.members.iter().map(|members| members.iter().map(place).collect()));
        let numbers = of.numbers.iter().map(|column| column.iter().map(|(patient, n)| (place(patient), *n)).collect());
        columns.numbers.extend::<Vec<_>>(numbers.collect());
    }

    /// Who is in a set that is said.
    fn members(&mut self, known: &Patients, figure: &Figure) -> Vec<u32> {
        let (of, tuple) = (figure.of, figure.tuple.as_deref());
        let mut members = Vec::new();
        for feature in of.features(&known.features) {
            members.extend(patients(feature, tuple).map(|patient| self.patient(known, patient)));
        }
        // Who is not linked is in figures of rows, and counts for no key.
        let unlinked = if of == Of::Keys { &[][..] } else { &known.unlinked.features };
        for feature in of.features(unlinked) {
            members.extend(patients(feature, tuple).map(|patient| self.place(known.unlinked.people[patient].clone())));
        }
        members.sort_unstable();
        members.dedup();
        members
    }

    /// What is known of patients by the features of a counted sum.
    pub(crate) fn columns(
        &mut self,
        known: &Patients,
        (counted, layout, tuples): (&Counted, &Layout, &HashMap<Vec<u8>, usize>),
    ) -> Entered {
        let mut own = Entered { bits: vec![Vec::new(); layout.bits], numbers: vec![Vec::new(); layout.numbers] };
        for (index, feature) in known.features.iter().enumerate() {
            // What a site has of keys that were not agreed is of no group.
            let numbered: Vec<Option<usize>> =
                feature.tuples.iter().map(|tuple| tuples.get(tuple).copied().or_else(|| whole(tuple))).collect();
            for entry in feature.entries.iter().filter(|entry| entry.number != 0) {
                let Some(tuple) = numbered[entry.tuple] else { continue };
                let patient = self.patient(known, entry.patient);
                match layout.column(&counted.matching, index, tuple, entry.at) {
                    Some(Stands::Bit(column)) => own.bits[column].push(patient),
                    Some(Stands::Number(column)) => own.numbers[column].push((patient, entry.number)),
                    None => {}
                }
            }
        }
        own.bits.iter_mut().for_each(|column| column.sort_unstable());
        own.numbers.iter_mut().for_each(|column| column.sort_unstable());
        own
    }

    fn patient(&mut self, known: &Patients, patient: usize) -> u32 {
        let further = known.further_of(patient).map(|key| (key.pass as u32, key.key.to_le_bytes())).collect();
        let names = known.names.get(patient).into_iter().flatten().map(|name| name.to_le_bytes()).collect();
        let keys = known.keys[patient].iter().map(|key| key.map(|key| key.to_le_bytes())).collect();
        self.place(Person { keys, further, names })
    }

    /// Whoever has a first key of somebody known is that patient, whatever its other keys were then.
    fn place(&mut self, person: Person) -> u32 {
        let next = self.all.len() as u32;
        let keys = || person.keys.iter().enumerate().filter_map(|(pass, key)| Some((pass, (*key)?)));
        let place = keys().find_map(|key| self.places.get(&key).copied()).unwrap_or(next);
        for key in keys() {
            self.places.entry(key).or_insert(place);
        }
        match self.all.get_mut(place as usize) {
            None => self.all.push(person),
            Some(known) => {
                let new: Vec<_> = person.names.iter().filter(|name| !known.names.contains(name)).copied().collect();
                known.names.extend(new);
            }
        }
        place
    }
}

fn patients<'a>(feature: &'a KnownFeature, tuple: Option<&'a [u8]>) -> impl Iterator<Item = usize> + 'a {
    let wanted = move |at: usize| tuple.is_none_or(|tuple| feature.tuples[at] == tuple);
    feature.entries.iter().filter(move |entry| wanted(entry.tuple)).map(|entry| entry.patient)
}

/// Columns of several releases, one after the other. Does not print; wiped when dropped.
#[derive(Default)]
pub struct Entered {
    /// Who has the bit.
    pub bits: Vec<Vec<u32>>,
    /// Who has a number, and which.
    pub numbers: Vec<Vec<(u32, u64)>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.bits.iter_mut().for_each(Zeroize::zeroize);
        self.numbers.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.all.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Drop for Sets {
    fn drop(&mut self) {
        self.people.iter_mut().for_each(Zeroize::zeroize);
        self.members.iter_mut().for_each(Zeroize::zeroize);
        self.numbers.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sets({} of one site's patients)", self.figures.sets())
    }
}

/// Most sets of one release: a site keeps each of them for the rest of the study, and every later release is compared with
/// each. One with more is refused: kept as a whole, its cells could be set against a later figure.
pub const MAX_SETS: usize = 1024;
