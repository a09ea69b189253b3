//! What a site knows of each of its patients: the rows of every relation, patient by patient, as the numbers that are
//! matched.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use mpc_core::Block;
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::matched::{Feature, Matching, Relation, What};
use query_planner::plan::{Groups, SecureSum};
use query_planner::value::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::features::{Class, classes};
use super::{batches, plan_invalid};
use crate::fault::NodeError;
use crate::govern::sets::Person;
use crate::linkage::{FurtherKey, Linked};
use crate::source::BoundData;

/// What one site knows of its patients, for one secure sum. Private: it never prints and never leaves the site unshared.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Patients {
    /// Each patient's key, hashed; of patients that are linked, one for each pass.
    pub keys: Vec<Vec<Option<Block>>>,
    /// Further keys of patients that have several in a pass.
    pub further: Vec<FurtherKey>,
    /// What is known by each of the matching's features.
    pub features: Vec<Known>,
    /// The key tuples that this site's rows have, sorted, and how many rows each has; where groups are agreed.
    pub offered: Vec<(Vec<u8>, u64)>,
    /// Of patients that are linked, the hashes of the site's own keys of each, by its position in `keys`: for this site's own ledger.
    pub names: Vec<Vec<Block>>,
    /// Patients that have no valid linkage key and so are not matched. For this site's own log.
    pub excluded: usize,
    /// The same for this site's own ledger, where rows are counted: their rows count, too.
    pub unlinked: Unlinked,
}

/// Patients whom nobody else can find.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unlinked {
    /// What each is known by: a key that no other site makes.
    pub people: Vec<Person>,
    /// As [`Patients::features`]; a patient is a position in `people`.
    pub features: Vec<Known>,
}

impl Patients {
    /// A patient's further keys.
    pub fn further_of(&self, patient: usize) -> impl Iterator<Item = &FurtherKey> {
        self.further.iter().filter(move |key| key.patient == patient)
    }
}

/// What is known by one feature: only what is not nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The row keys that this site has, as [`query_planner::keys::encode`] writes them; the empty tuple without keys.
    pub tuples: Vec<Vec<u8>>,
    /// In no order.
    pub entries: Vec<Entry>,
}

/// A number of a patient and tuple, as it is matched: 1 for a bit, 2^bits − code for the least code, code + 1 for the
/// greatest, 2^(bits + 1) − code for an event, so that 0 always says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Position in `keys`.
    pub patient: usize,
    /// Position in `tuples`.
    pub tuple: usize,
    /// Which of a patient's events; 0 for everything else.
    pub at: usize,
    /// The number, mod 2^64.
    pub number: u64,
}

impl Drop for Patients {
    fn drop(&mut self) {
        self.keys.iter_mut().flatten().for_each(Zeroize::zeroize);
        self.further.iter_mut().for_each(|key| key.key.zeroize());
        self.names.iter_mut().for_each(Zeroize::zeroize);
        self.unlinked.people.iter_mut().for_each(Zeroize::zeroize);
        let entries = self.features.iter_mut().flat_map(|known| &mut known.entries);
        entries.for_each(|entry| entry.number.zeroize());
    }
}

impl fmt::Debug for Patients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patients({} features)", self.features.len())
    }
}

/// Reads every relation of a matching; `relations` are what each site runs for it.
///
/// # Errors
/// As [`super::partials`]; `TOO_MANY_PATIENTS` and `TOO_MANY_EVENTS` beyond the bounds that the plan states, `NOT_FINITE` for
/// a patient key that has no place among keys. They name the site and the rule.
pub(super) async fn patients(
    relations: &[BTreeMap<SiteName, LogicalPlan>],
    sum: &SecureSum,
    matching: &Matching,
    site: &SiteName,
    data: &BoundData,
) -> Result<Patients, NodeError> {
    let features = || matching.features.iter().map(|_| Known::default()).collect();
    let (mut known, mut aside) = (Patients::default(), Patients::default());
    (known.features, aside.features) = (features(), features());
    let mut register = Register::new(site, data, matching);
    // Figures of matched patients are without those that cannot be matched.
    let keeps_aside = register.linked.is_some() && matching.features.iter().all(|feature| feature.what == What::Any);
    for (index, relation) in matching.relations.iter().enumerate() {
        let fragments = relations.get(index).ok_or_else(|| plan_invalid("a relation that no site reads"))?;
        if let Some((_, fragment)) = fragments.iter().find(|(name, _)| name.same(site)) {
            let sums = classes(sum, matching, index)?;
            let mut linked: Vec<Class<'_>> = sums.iter().map(|class| Class::new(class, site)).collect();
            let mut others: Vec<Class<'_>> = sums.iter().map(|class| Class::new(class, site)).collect();
            let mut rows = batches(fragment, site, data).await?;
            while let Some(batch) = rows.next().await? {
                let [(batch, patients), (rest, unlinked)] = register.known(&batch)?;
                linked.iter_mut().try_for_each(|class| class.add(&batch, &patients))?;
                if keeps_aside {
                    others.iter_mut().try_for_each(|class| class.add(&rest, &unlinked))?;
                }
            }
            let agreed = matching.key_relation == Some(index) && matches!(sum.groups, Groups::Agreed { .. });
            for (linked, others) in linked.into_iter().zip(others) {
                linked.finish(matching, relation, agreed, &mut known)?;
                others.finish(matching, relation, false, &mut aside)?;
            }
        }
    }
    known.excluded = register.excluded.len();
    known.unlinked = Unlinked { people: register.unlinked(), features: std::mem::take(&mut aside.features) };
    known.further = register.further();
    known.names = std::mem::take(&mut register.names);
    known.keys = register.keys();
    Ok(known)
}

/// The patients seen so far, numbered in the order they appeared. Keys are kept hashed only.
struct Register<'a> {
    site: &'a SiteName,
    study: [u8; 32],
    linked: Option<&'a Linked>,
    /// By the hash of the patient key, or by the linked patient.
    numbers: HashMap<u128, usize>,
    /// Of linked patients the hashes of their own keys.
    names: Vec<Vec<Block>>,
    /// By the hash of the patient key: those that are not linked.
    excluded: HashMap<u128, usize>,
    most: u64,
}

/// Whose a row is: a number among those that are matched, or among the others.
enum Whose {
    Matched(usize),
    Unlinked(usize),
}

/// Rows, and whose each is.
type Owned = (RecordBatch, Vec<usize>);

impl<'a> Register<'a> {
    fn new(site: &'a SiteName, data: &'a BoundData, matching: &Matching) -> Self {
        let (linked, study, most) = (data.linked(), data.study(), matching.max_patients);
        let (numbers, names, excluded) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { site, study, linked, numbers, names, excluded, most }
    }

    /// The rows that have a patient key, and whose they are: of patients that are matched, and of those that are not.
    fn known(&mut self, batch: &RecordBatch) -> Result<[Owned; 2], NodeError> {
        let column = batch.columns().first().ok_or_else(|| plan_invalid("a relation without a patient key"))?;
        let patients = (0..batch.num_rows()).map(|row| self.patient(column, row)).collect::<Result<Vec<_>, _>>()?;
        let matched = |whose: &Option<Whose>| if let Some(Whose::Matched(at)) = whose { Some(*at) } else { None };
        let unlinked = |whose: &Option<Whose>| if let Some(Whose::Unlinked(at)) = whose { Some(*at) } else { None };
        Ok([of(batch, patients.iter().map(matched).collect())?, of(batch, patients.iter().map(unlinked).collect())?])
    }

    fn patient(&mut self, column: &ArrayRef, row: usize) -> Result<Option<Whose>, NodeError> {
        let Some(own) = own_key(&self.study, self.site, column, row)? else { return Ok(None) };
        let key = match self.linked.map(|linked| linked.entry(own)) {
            None => own.0,
            Some(Some(entry)) => entry as u128,
            Some(None) => {
                let next = self.excluded.len();
                return Ok(Some(Whose::Unlinked(*self.excluded.entry(own.0).or_insert(next))));
            }
        };
        let next = self.numbers.len();
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next && next as u64 >= self.most {
            let (site, most) = (self.site, self.most);
            let message = format!("site {site}: more than the {most} patients that the network declares for a site");
            return Err(NodeError::new("TOO_MANY_PATIENTS", message).hint("declare a larger max_patients"));
        }
        if self.linked.is_some() {
            self.names.resize(self.numbers.len(), Vec::new());
            let names = &mut self.names[number];
            if !names.contains(&own) {
                names.push(own);
            }
        }
        Ok(Some(Whose::Matched(number)))
    }

    /// How the others are known here.
    fn unlinked(&self) -> Vec<Person> {
        let mut people = vec![Person::default(); self.excluded.len()];
        for (own, at) in &self.excluded {
            let key = unlinked_key(&self.study, self.site, Block(*own));
            people[*at] = Person { names: vec![own.to_le_bytes()], ..Person::of(vec![Some(key.to_le_bytes())]) };
        }
        people
    }

    fn further(&self) -> Vec<FurtherKey> {
        let keys = self.linked.into_iter().flat_map(|linked| linked.further());
        let known = |key: &FurtherKey| Some(FurtherKey { patient: *self.numbers.get(&(key.patient as u128))?, ..*key });
        keys.filter_map(known).collect()
    }

    fn keys(self) -> Vec<Vec<Option<Block>>> {
        let mut keys = vec![Vec::new(); self.numbers.len()];
        for (key, number) in self.numbers {
            keys[number] = match self.linked {
                Some(linked) => linked.keys(key as usize).to_vec(),
                None => vec![Some(Block(key))],
            };
        }
        keys
    }
}

/// Those of the rows that are somebody's.
fn of(batch: &RecordBatch, whose: Vec<Option<usize>>) -> Result<Owned, NodeError> {
    let kept: BooleanArray = whose.iter().map(|whose| Some(whose.is_some())).collect();
    let batch = filter_record_batch(batch, &kept).map_err(|_| plan_invalid("an odd column"))?;
    Ok((batch, whose.into_iter().flatten().collect()))
}

/// What a patient that cannot be linked is known by in this site's ledger: no other site makes this key of anybody.
pub(crate) fn unlinked_key(study: &[u8; 32], site: &SiteName, own: Block) -> Block {
    let digest = Sha256::new().chain_update(b"consilium unlinked patient v1\0").chain_update(study);
    let digest: [u8; 32] = digest.chain_update(own.to_le_bytes()).chain_update(site.0.to_lowercase()).finalize().into();
    Block(u128::from_le_bytes(std::array::from_fn(|i| digest[i])))
}

/// The hash of a row's patient key; none where it is NULL.
///
/// # Errors
/// `NOT_FINITE` for a value that has no place among keys.
pub(crate) fn own_key(
    study: &[u8; 32],
    site: &SiteName,
    column: &ArrayRef,
    row: usize,
) -> Result<Option<Block>, NodeError> {
    let scalar = ScalarValue::try_from_array(column, row).map_err(|_| plan_invalid("an odd patient key"))?;
    if scalar.is_null() {
        return Ok(None);
    }
    let value = Value::from_scalar(&scalar).ok_or_else(|| {
        let message = format!("site {site}: a patient key is not a value that can be matched");
        NodeError::new("NOT_FINITE", message)
    })?;
    // An identifier that is missing is nobody's, also where a file says so by an empty text.
    if matches!(&value, Value::Text(text) if text.trim().is_empty()) {
        return Ok(None);
    }
    Ok(Some(hashed(study, value)))
}

/// A patient key in 128 bits: the same for equal values at all sites of one study. What separates studies is no secret.
fn hashed(study: &[u8; 32], value: Value) -> Block {
    let mut encoded = keys::encode(std::slice::from_ref(&value));
    if let Value::Text(mut text) = value {
        text.zeroize();
    }
    let digest = Sha256::new().chain_update(b"consilium patient key v1\0").chain_update(study).chain_update(&encoded);
    encoded.zeroize();
    let digest: [u8; 32] = digest.finalize().into();
    Block(u128::from_le_bytes(std::array::from_fn(|i| digest[i])))
}

/// Bounds that every relation and feature of a plan keeps to.
///
/// # Errors
/// `PLAN_INVALID`.
pub(super) fn check(relation: &Relation, feature: &Feature) -> Result<(), NodeError> {
    if relation.contributors.is_empty() || !(1..=MAX_BITS).contains(&feature.bits) {
        return Err(plan_invalid("a feature of nobody, or of too many bits"));
    }
    let encoding = match feature.what {
        What::Least(_, encoding) | What::Greatest(_, encoding) | What::Events { encoding, .. } => Some(encoding),
        _ => None,
    };
    match encoding {
        Some(encoding) if encoding.bits > feature.bits => Err(plan_invalid("a feature whose codes exceed its bits")),
        _ => Ok(()),
    }
}

/// Most bits of a feature: differences of twice its numbers are compared with their signs in 64 bits.
pub const MAX_BITS: u32 = 61;
